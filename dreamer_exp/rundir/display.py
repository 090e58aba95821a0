"""Data of a run's files as it may be shown: no control characters, no endless texts, plain types."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from dreamer_exp.formatting import printable, shortened

MAX_NUMBER = 1e100  # a larger one is not a measurement, and its square is infinite
MAX_INTEGER = 2**63
MAX_VALUE = 1000  # characters of a text


def displayed(node: Any) -> Any:
    """Return the data of a JSON or YAML file with printable texts; what JSON has no type for becomes a text."""
    if isinstance(node, Mapping):
        return {shortened(printable(str(name))): displayed(value) for name, value in node.items()}
    if isinstance(node, list):
        return [displayed(value) for value in node]
    if isinstance(node, str):
        return shortened(printable(node), MAX_VALUE)
    is_small = not isinstance(node, int) or abs(node) < MAX_INTEGER
    return node if isinstance(node, (int, float, type(None))) and is_small else shortened(printable(str(node)))


def displayed_mapping(tree: Mapping[Any, Any]) -> dict[str, Any]:
    """Return a file's mapping as `displayed` does."""
    shown: dict[str, Any] = displayed(tree)
    return shown


def is_number(value: Any) -> TypeGuard[float]:
    """Return whether a value of a row is a number that can be computed with."""
    return isinstance(value, (int, float)) and abs(value) <= MAX_NUMBER  # false for NaN
