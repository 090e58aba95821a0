"""Kinds of encoders of observation entries, `obs_contract.encoders`, and the shapes that they take."""

VECTOR, LIDAR = "vector", "lidar"
KINDS = (VECTOR, LIDAR)
BEARINGS = 8  # fewest of a lidar
NEEDS = {LIDAR: f"(bearings,) or (frames, bearings), with {BEARINGS} bearings or more"}


def fits_shape(kind: str, shape: tuple[int, ...]) -> bool:
    """Return whether an encoder of this kind takes entries of this shape."""
    return kind == VECTOR or (len(shape) in (1, 2) and shape[-1] >= BEARINGS)
