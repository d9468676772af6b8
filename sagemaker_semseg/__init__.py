"""Semantic segmentation in the shape of Amazon SageMaker's built-in algorithm, open and runnable anywhere."""

__version__ = "0.1.0"
