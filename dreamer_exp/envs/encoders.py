"""Which observation entries `obs_contract.encoders` can encode (dreamer_exp/encoders.py)."""

from collections.abc import Mapping

from gymnasium.spaces import Box

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.encoders import KINDS, NEEDS, VECTOR, fits_shape


def check_encoders(encoders: Mapping[str, str], boxes: Mapping[str, Box]) -> None:
    """Raise UserError for an entry that is not observed, an unknown kind, or one that does not fit the entry."""
    for key, kind in encoders.items():
        if key not in boxes:
            raise UserError(
                f"obs_contract.encoders: {key!r} is not in the observation contract.{nearest(key, list(boxes))} "
                f"It has: {', '.join(boxes)}."
            )
        if kind not in KINDS:
            raise UserError(
                f"obs_contract.encoders.{key}={kind} is not allowed.{nearest(kind, KINDS)} Use: {', '.join(KINDS)}."
            )
        if not fits_shape(kind, boxes[key].shape):
            raise UserError(
                f"obs_contract.encoders.{key}={kind}: {key!r} has the shape {boxes[key].shape}, but {kind} needs "
                f"{NEEDS[kind]}; use vector."
            )


def refuse_encoders(encoders: Mapping[str, str], algorithm: str) -> None:
    """Raise UserError if an entry's encoder is not `vector`, for an algorithm that knows no other."""
    for key, kind in encoders.items():
        if kind != VECTOR:
            raise UserError(
                f"obs_contract.encoders.{key}={kind}: algo={algorithm} encodes vectors only; use {VECTOR}, or "
                "algo=dreamerv3."
            )
