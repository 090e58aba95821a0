"""How numbers are told, in the terminal and on the page."""

import math

NOTHING = "-"


def whole(value: float) -> str:
    """A count; a dash for none."""
    return f"{value:,.0f}" if math.isfinite(value) else NOTHING


def duration(seconds: float) -> str:
    """Seconds as `40 s`, `4 min`, `2 h 5 min`; a dash for no time."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
