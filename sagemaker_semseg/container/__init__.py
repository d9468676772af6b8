"""SageMaker's contract with a container: its folder and JSON files, its variables, ``train`` and ``serve``."""
