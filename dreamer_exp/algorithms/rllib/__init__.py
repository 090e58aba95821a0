"""What every algorithm on RLlib shares: the training step, the env runner, Ray itself, and the build."""
