"""The scenario families: one YAML file each, in this folder, read once."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml  # type: ignore[import-untyped,unused-ignore]  # types-PyYAML may be absent

from dreamer_exp.envs.crowd_nav.scenarios.floors import Range

FAMILIES = ("open", "crossing", "corridor", "doorway", "intersection", "blocks", "dense")


@dataclass(frozen=True)
class Family:
    """The parameters of a family; each pair is a range for a uniform draw, bounds included."""

    name: str
    description: str
    generator: str
    """Name of the generator of floor plans in floors.py."""
    length: Range
    """Metres, west to east."""
    width: Range
    """Metres, south to north."""
    pedestrians: Range
    """Number of pedestrians; those for whom no free start is found are left out."""
    route_length: Range
    """Metres from start to goal along the waypoints."""
    waypoints: Range
    """Number of waypoints of the route, including the goal."""
    heading_error: float
    """Largest angle in radians between the robot's first heading and the first waypoint."""
    parameters: Mapping[str, Range]
    """Further parameters of the generator."""


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
