"""The doctor: a data set comes in, everything that is wrong or doubtful with it goes out, before any training."""
