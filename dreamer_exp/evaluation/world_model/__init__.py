"""The world-model check: imagined rollouts against ground truth."""
