"""The endpoint: a model behind HTTP, as SageMaker asks of a container that hosts one. No TensorFlow."""
