"""From folders, manifests and pipes to checked samples (no TensorFlow)."""
