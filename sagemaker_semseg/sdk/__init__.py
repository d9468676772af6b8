"""What a notebook sees: an estimator that trains on this machine or on SageMaker, and a predictor for what it deploys.

``session`` has what both places are asked for, ``inputs`` reads what is given to ``fit``, ``local`` runs jobs and
endpoints as processes, ``requests`` builds what SageMaker is sent and ``remote`` sends it. TensorFlow is never loaded
here, boto3 in ``remote`` alone, when it is first used.
"""
