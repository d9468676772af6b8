"""The endpoint: a model behind HTTP, by SageMaker's contract for inference containers. No TensorFlow."""
