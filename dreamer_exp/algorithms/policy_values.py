"""Checks of the values in policy.json, and how many weights an algorithm's network has, without other packages."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple


class PolicyFormat(NamedTuple):
    """What an algorithm adds to policy.json, and how large a network it describes."""

    fits: Mapping[str, Callable[[Any], bool]]
    """Keys that describe the network -> whether a network can be built from a value."""
    weights: Callable[[Mapping[str, Any]], int]
    """Returns the number of weights that the described network has at least."""


def is_bool(value: Any) -> bool:
    """Return whether a value of policy.json is true or false."""
    return isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Return whether a value of policy.json is a whole number of at least 1."""
    return type(value) is int and value >= 1


def described(options: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return `network` of a policy.json from the options of the same names."""
    return {"network": {name: getattr(options, name) for name in names}}
