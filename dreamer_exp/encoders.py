"""Kinds of encoders of observation entries, `obs_contract.encoders`, and the shapes that they take."""

AUTO = "auto"
VECTOR, LIDAR, GRID, IMAGE = "vector", "lidar", "grid", "image"
KINDS = (VECTOR, LIDAR, GRID, IMAGE)
LEAST = 8  # bearings of a lidar, and cells of each side of a grid or an image
NEEDS = {
    LIDAR: f"(bearings,) or (frames, bearings), with {LEAST} bearings or more",
    GRID: f"(height, width) or (channels, height, width), each side {LEAST} or more",
    IMAGE: f"(height, width, channels) of uint8, each side {LEAST} or more",
}
# what a decoder predicts, and its error: the squared one, that of an image's squashed output, or the cross entropy
SQUARES, PIXELS, BERNOULLI = "squares", "pixels", "bernoulli"


def fits_shape(kind: str, shape: tuple[int, ...]) -> bool:
    """Return whether an encoder of this kind takes entries of this shape."""
    if kind == VECTOR:
        return True
    if kind == LIDAR:
        return len(shape) in (1, 2) and shape[-1] >= LEAST
    sides = shape[:2] if kind == IMAGE else shape[-2:]
    return len(shape) in ((3,) if kind == IMAGE else (2, 3)) and min(sides) >= LEAST


def loss_of(kind: str, low: float, high: float) -> str:
    """Return the loss of a decoder of this kind for entries within these bounds."""
    if kind == IMAGE:
        return PIXELS
    return BERNOULLI if kind == GRID and (low, high) == (0.0, 1.0) else SQUARES
