"""Training: the loop, signals, and recovery from divergence."""
