"""The imagined rollout, and lambda returns."""
