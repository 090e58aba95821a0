"""dreamer_exp: Hydra-composed DreamerV3 experiments on robots."""

__version__ = "0.1.0"
