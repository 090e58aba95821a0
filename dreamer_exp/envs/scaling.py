"""Which observation spaces `obs_contract.scaling` can scale (dreamer_exp/scaling.py)."""

from collections.abc import Mapping

from gymnasium.spaces import Box

from dreamer_exp.config.errors import UserError
from dreamer_exp.scaling import DRIVE_STATE, KNOWN, METRIC, NONE, RAYS


def check_scaling(name: str, boxes: Mapping[str, Box]) -> None:
    """Raise UserError if there is no such scaling, or it doesn't know one of these entries."""
    if name not in (NONE, METRIC):
        raise UserError(f"obs_contract.scaling: {name!r} is not allowed; use none or metric")
    if name == NONE:
        return
    for key, box in boxes.items():
        columns = box.shape[-1] if box.shape else 0
        known = (key == "drive_state" and columns == len(DRIVE_STATE)) or (key == RAYS and columns >= 3)
        if not (known and box.low.min() >= -1.0 and box.high.max() <= 1.0):
            raise UserError(
                f"obs_contract.scaling=metric: {key!r} is {box}, which it cannot scale; it knows {KNOWN}. "
                "Use obs_contract.scaling=none."
            )
