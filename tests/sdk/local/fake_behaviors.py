"""What ``fake_job.py`` does, by the hyperparameter ``seed``."""

SUCCEED, FAIL, CRASH, HANG, STUBBORN, LEAVES_A_CHILD, READS_A_PIPE = range(7)
