"""Training, evaluation and prediction as typed values and functions.

Each module has one frozen configuration and the function that runs it: ``training.TrainingConfig`` and
``training.run_training``, ``evaluation.EvaluationConfig`` and ``evaluation.run_evaluation``,
``prediction.PredictionConfig`` and ``prediction.run_prediction``. TensorFlow is imported when a job runs, not before.
"""
