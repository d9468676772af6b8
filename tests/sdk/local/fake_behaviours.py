"""What ``fake_job.py`` does, by the hyperparameter ``seed``."""

SUCCEED, FAIL, CRASH, HANG, STUBBORN, LEAVES_A_CHILD = range(6)
