"""Training, evaluation and prediction as typed values and functions.

``run_training``, ``run_evaluation`` and ``run_prediction`` each have a frozen configuration (``TrainingConfig``, ...)
and the function that runs it; ``api`` has them with keyword arguments. TensorFlow is imported when a
job runs, not before.
"""
