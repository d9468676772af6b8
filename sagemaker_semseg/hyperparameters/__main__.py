"""Prints the reference page: ``python -m sagemaker_semseg.hyperparameters > docs/hyperparameters.md``."""

from sagemaker_semseg.hyperparameters.page import markdown

if __name__ == "__main__":
    print(markdown(), end="")
