"""Which observation entries `obs_contract.encoders` can encode (dreamer_exp/encoders.py)."""

from collections.abc import Mapping

import numpy as np
from gymnasium.spaces import Box

from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.encoders import AUTO, GRID, IMAGE, KINDS, NEEDS, VECTOR, fits_shape


def kinds_of(encoders: Mapping[str, str], boxes: Mapping[str, Box]) -> dict[str, str]:
    """Return the kind of each entry's encoder, by the published rule for `auto`: by the number of axes.

    Raises:
        UserError: an entry that is not observed, an unknown kind, or one that does not fit the entry.
    """
    for key, kind in encoders.items():
        if key not in boxes:
            raise UserError(
                f"obs_contract.encoders: {key!r} is not in the observation contract.{nearest(key, list(boxes))} "
                f"It has: {', '.join(boxes)}."
            )
        if kind not in (AUTO, *KINDS):
            raise UserError(
                f"obs_contract.encoders.{key}={kind} is not allowed.{nearest(kind, KINDS)} "
                f"Use: {', '.join((AUTO, *KINDS))}."
            )
        if kind != AUTO and not _fits(kind, boxes[key]):
            raise UserError(
                f"obs_contract.encoders.{key}={kind}: {key!r} is {boxes[key].dtype} {boxes[key].shape}, but {kind} "
                f"needs {NEEDS[kind]}; use {' or '.join(fit for fit in KINDS if _fits(fit, boxes[key]))}."
            )
    given = {key: encoders.get(key, VECTOR) for key in boxes}
    return {key: _published(boxes[key]) if kind == AUTO else kind for key, kind in given.items()}


def _fits(kind: str, box: Box) -> bool:
    return fits_shape(kind, box.shape) and (kind != IMAGE or box.dtype == np.uint8)


def _published(box: Box) -> str:
    """Return `image` or `grid` for three axes, else `vector`."""
    return next((kind for kind in (IMAGE, GRID) if len(box.shape) == 3 and _fits(kind, box)), VECTOR)


def refuse_encoders(encoders: Mapping[str, str], algorithm: str) -> None:
    """Raise UserError if an entry's encoder is not `vector`, for an algorithm that knows no other."""
    for key, kind in encoders.items():
        if kind != VECTOR:
            raise UserError(
                f"obs_contract.encoders.{key}={kind}: algo={algorithm} encodes vectors only; use {VECTOR}, or "
                "algo=dreamerv3."
            )
