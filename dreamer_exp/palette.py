"""Colours of figures, pages and terminal tables.

The figure colours are Okabe and Ito's, distinguishable with every type of colour vision
(https://jfly.uni-koeln.de/color/).
"""

BLACK = "#000000"
BLUE = "#0072B2"
GREEN = "#009E73"
GREY = "#999999"
ORANGE = "#E69F00"
PURPLE = "#CC79A7"
SKY_BLUE = "#56B4E9"
VERMILION = "#D55E00"

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
    "waiting": "dim",
}
