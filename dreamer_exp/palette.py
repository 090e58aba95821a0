"""Colours of figures, pages and terminal tables.

The figure colours are Okabe and Ito's, distinguishable with every type of colour vision
(https://jfly.uni-koeln.de/color/).
"""

BLACK = "#000000"
BLUE = "#0072B2"
GREEN = "#009E73"
GREY = "#999999"
LIGHT_GREY = "#BBBBBB"  # of what is in the background
ORANGE = "#E69F00"
PURPLE = "#CC79A7"
SKY_BLUE = "#56B4E9"
SLATE = "#808890"  # for light and dark pages, where black and Okabe and Ito's yellow are hardly visible
VERMILION = "#D55E00"
WALL = "#2C3038"
WHITE = "#FFFFFF"


def lighter(colour: str, share: float) -> str:
    """Return a colour (#RRGGBB) mixed with this share of white, 0 to 1."""
    channels = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(channel + share * (255 - channel)):02X}" for channel in channels)


# styles of rich
STATE_STYLES = {
    "running": "cyan",
    "starting": "cyan",
    "training": "cyan",
    "evaluating": "cyan",
    "finished": "green",
    "failed": "red",
    "dead": "red",
    "unknown": "red",
    "interrupted": "yellow",
    "stopped": "yellow",
    "waiting": "dim",
}
