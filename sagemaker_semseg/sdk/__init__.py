"""The Python SDK: an estimator that trains on this machine or on SageMaker, and a predictor for its endpoints.

``specs`` describes jobs and endpoints, ``local`` runs them as processes, ``requests`` builds SageMaker's requests and
``remote`` sends them. TensorFlow is never imported here; boto3 only in ``remote``, on first use.
"""
