"""dreamer_exp: Hydra-composed DreamerV3 experiments on robots."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dreamer_exp.policy.load import load_policy

__version__ = "0.2.0"
__all__ = ["__version__", "load_policy"]


def __getattr__(name: str) -> Any:
    """Import `load_policy` when it is used: it imports torch, which other commands do without."""
    if name != "load_policy":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("dreamer_exp.policy.load").load_policy
