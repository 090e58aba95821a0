"""The scenario families: one YAML file each, beside this module, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml  # type: ignore[import-untyped,unused-ignore]  # types-PyYAML may be absent

from dreamer_exp.envs.crowd_nav.scenarios.floors import Range

FAMILIES = ("open", "crossing", "corridor", "doorway", "intersection", "blocks", "dense")


@dataclass(frozen=True)
class Family:
    """One family's parameters; each pair is drawn from uniformly, bounds included."""

    name: str
    description: str
    generator: str
    """Name of the floor plan's generator, in floors.py."""
    length: Range
    """Metres, west to east."""
    width: Range
    """Metres, south to north."""
    pedestrians: Range
    """How many are wanted; those that find no free place to start are left out."""
    route_length: Range
    """Metres from start to goal along the waypoints."""
    waypoints: Range
    """Waypoints of the route, the goal among them."""
    heading_error: float
    """Radians, either way, by which the robot's first heading may miss the first waypoint."""
    parameters: Mapping[str, Range]
    """The generator's own parameters."""


@cache
def load_family(name: str) -> Family:
    """Return a family by its name, one of FAMILIES."""
    content = yaml.safe_load(files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))
    return Family(
        name=name,
        description=content["description"],
        generator=content["generator"],
        length=_pair(content["length"]),
        width=_pair(content["width"]),
        pedestrians=_pair(content["pedestrians"]),
        route_length=_pair(content["route_length"]),
        waypoints=_pair(content["waypoints"]),
        heading_error=content["heading_error"],
        parameters={key: _pair(value) for key, value in content.get("parameters", {}).items()},
    )


def _pair(value: list[float]) -> Range:
    low, high = value
    return low, high
