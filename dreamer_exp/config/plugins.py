"""Discovery of environments and algorithms: those of this package, and plug-ins of other installed packages."""

from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dreamer_exp.config.errors import UserError, first_line

SPECS = {"env": "envs", "algo": "algorithms"}
"""Group of options on the command line -> group of specs."""


class Plugins(NamedTuple):
    """The specs of a group by name; for each plug-in that cannot be used, the reason in one line.

    `distributions` are the installed packages that the specs of other packages come from, by the spec's name.
    """

    specs: dict[str, Any]
    unavailable: dict[str, str]
    distributions: dict[str, str]


def find_specs(group: str) -> dict[str, Any]:
    """Return the usable specs of a group ("envs" or "algorithms") by name: our own, then those of other packages.

    A folder `dreamer_exp/<group>/<name>/` with a module `spec` provides its `SPEC`. Another package provides one by an
    entry point in the group `dreamer_exp.<group>`. No file lists them all, so none has to be edited to add one.
    """
    return find_plugins(group).specs


def find_spec(group: str, name: str) -> Any:
    """Return the spec of this name.

    Raises:
        UserError: There is no such spec, or its plug-in cannot be used.
    """
    specs, unavailable, _ = find_plugins(group)
    option = next(option for option, its_specs in SPECS.items() if its_specs == group)
    if name in specs:
        return specs[name]
    if name in unavailable:
        raise UserError(f"{option}={name}: {unavailable[name]}")
    raise UserError(f"{option}.name={name!r} is not one of: {', '.join(specs)}.")


def distributions_used(env: str, algo: str) -> list[str]:
    """Return the packages that an environment and an algorithm come from, and those that the EnvSpec names."""
    names = {"envs": env, "algorithms": algo}
    found = [find_plugins(group).distributions.get(name) for group, name in names.items()]
    return [name for name in dict.fromkeys([*found, *(find_spec("envs", env).packages or ())]) if name is not None]


@cache
def find_plugins(group: str) -> Plugins:
    """Return every spec of a group; a plug-in that fails to load is listed and affects no other."""
    package = f"dreamer_exp.{group}"
    found = Plugins(dict(_own_specs(package)), {}, {})
    for point in sorted(entry_points(group=package)):
        try:
            if point.name in found.specs:
                raise TypeError("this name is already taken")
            found.specs[point.name] = _load(point)
            if point.dist:
                found.distributions[point.name] = point.dist.name
        except Exception as error:  # noqa: BLE001  # foreign code: any error is reported with the plug-in's name
            distribution = f" of {point.dist.name}" if point.dist else ""
            reason = first_line(error, "no message")
            found.unavailable[point.name] = (
                f"the entry point {package}: {point.name} = {point.value}{distribution} cannot be loaded "
                f"({type(error).__name__}: {reason})."
            )
    return found


def _own_specs(package: str) -> Iterator[tuple[str, Any]]:
    for folder in (module.name for module in iter_modules(import_module(package).__path__) if module.ispkg):
        name = f"{package}.{folder}.spec"
        try:
            spec = import_module(name).SPEC
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        yield spec.name, spec


def _load(point: EntryPoint) -> Any:
    spec = point.load()
    name = getattr(spec, "name", None)
    if name != point.name:
        raise TypeError(f"it loads {type(spec).__name__} with name {name!r}; both names have to be equal")
    return spec


def check_options(options: type, base: type, name: str) -> None:
    """Check that a dataclass can be the typed options of a spec.

    Args:
        options: The dataclass.
        base: The class that it has to derive from.
        name: Name of the spec, which has to be the default of the key `name`.

    Raises:
        TypeError: Names the field that is wrong.
    """
    if not (is_dataclass(options) and issubclass(options, base)):
        raise TypeError(f"{options.__name__} has to be a dataclass derived from {base.__name__}")
    _check_fields(options)
    (named,) = (declared for declared in fields(options) if declared.name == "name")
    if named.default != name:
        raise TypeError(f"{options.__name__}.name is {named.default!r}; its default has to be {name!r}")
    try:
        OmegaConf.structured(options)
    except OmegaConfBaseException as error:
        raise TypeError(f"{options.__name__}: {str(error).partition(chr(10))[0]}") from error


def _check_fields(options: type) -> None:
    for declared in fields(options):
        place = f"{options.__name__}.{declared.name}"
        if isinstance(declared.type, str):
            raise TypeError(f"{place}: remove `from __future__ import annotations` from its module")
        if is_dataclass(declared.type):
            assert isinstance(declared.type, type)
            _check_fields(declared.type)
        elif "help" not in declared.metadata:
            raise TypeError(f"{place} has to be made with dreamer_exp.config.schema.key")
        if declared.default is MISSING and declared.default_factory is MISSING:
            raise TypeError(f"{place} needs a default")
