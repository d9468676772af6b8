"""Fitting a network: batches, loss, schedule, metrics, checkpoints, the loop (TensorFlow)."""
