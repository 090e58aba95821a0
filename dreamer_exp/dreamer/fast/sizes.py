"""Network sizes (config/sizes.py)."""

from dreamer_exp.config.sizes import SIZES, NetworkSize

__all__ = ["SIZES", "NetworkSize"]
