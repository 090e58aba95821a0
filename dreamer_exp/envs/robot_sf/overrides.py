"""Applies env.config to Robot SF's RobotSimulationConfig; each name and value is checked with the real dataclass."""

import enum
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

from dreamer_exp.config.errors import UserError, first_line, nearest

ROOT = "env.config"
ELSEWHERE = {
    f"{ROOT}.sim_config.sim_time_in_secs": "env.max_steps",
    f"{ROOT}.sim_config.time_per_step_in_secs": "env.dt",
    f"{ROOT}.lidar_config.scan_noise": "env.lidar_noise",
    f"{ROOT}.map_pool.map_defs": "env.scenario_matrix, or env.config.map_pool.maps_folder",
}
"""Fields that another key sets."""
ALIASES = ("peds_have_robot_repulsion", "peds_have_obstacle_forces")
"""Fields of RobotSimulationConfig that mirror another field, and would restore its old value if not set to None."""


def apply_overrides(config: Any, overrides: Mapping[str, Any], rebuilt: tuple[type, ...] = ()) -> Any:
    """Return a RobotSimulationConfig with nested overrides.

    Args:
        config: the RobotSimulationConfig to start from; it isn't changed.
        overrides: env.config.
        rebuilt: dataclasses that are constructed from the overrides alone, because their fields are derived (a map
            pool).

    Raises:
        UserError: an unknown field, a value of the wrong type, or one that Robot SF refuses or alters.
    """
    if not overrides:
        return config
    values = _values(config, overrides, ROOT, rebuilt)
    empty = {name: None for name in ALIASES if name not in values}
    changed = _construct(ROOT, lambda: replace(config, **values, **empty))
    _check_arrival(changed, overrides, ROOT)
    return changed


def _values(node: Any, overrides: Mapping[str, Any], path: str, rebuilt: tuple[type, ...]) -> dict[str, Any]:
    """Return the constructor arguments for the dataclass of `node`, which is an instance or the class itself."""
    hints = get_type_hints(type(node) if not isinstance(node, type) else node)
    settable = [field.name for field in fields(node) if field.init]
    values = {}
    for name, given in overrides.items():
        here = f"{path}.{name}"
        if here in ELSEWHERE:
            raise UserError(f"{here}: set {ELSEWHERE[here]} instead.")
        if name not in settable:
            hint = nearest(str(name), settable).replace("'", f"'{path}.", 1)
            raise UserError(f"{here}: Robot SF has no such field.{hint} {path} has: {', '.join(settable)}.")
        values[name] = _value(getattr(node, name, None), given, hints[name], here, rebuilt)
    return values


def _value(current: Any, given: Any, hint: Any, path: str, rebuilt: tuple[type, ...]) -> Any:
    if isinstance(given, Mapping):
        return _nested(current, given, hint, path, rebuilt)
    if is_dataclass(current) and given is not None:
        raise UserError(f"{path}={given!r}: it is a group of fields: {', '.join(f.name for f in fields(current))}.")
    kind = _enum_of(hint)
    if kind is not None and given is not None:
        words = given if isinstance(given, list) else [given]
        members = [_member(kind, word, path) for word in words]
        return members if isinstance(given, list) else members[0]
    if not _same_kind(current, given):
        raise UserError(f"{path}={given!r} is of the wrong type: it is {current!r} by default.")
    return given


def _nested(current: Any, given: Mapping[str, Any], hint: Any, path: str, rebuilt: tuple[type, ...]) -> Any:
    if is_dataclass(current) and not isinstance(current, rebuilt):
        values = _values(current, given, path, rebuilt)
        return _construct(path, lambda: replace(current, **values))  # type: ignore[type-var]  # an instance
    kind: Any = type(current) if is_dataclass(current) else _dataclass_of(hint)
    if kind is None:
        if isinstance(current, dict):
            return dict(given)
        raise UserError(f"{path}={dict(given)!r}: it is one value, {current!r} by default, and has no fields.")
    values = _values(kind, given, path, rebuilt)
    return _construct(path, lambda: kind(**values))


def _construct(path: str, make: Any) -> Any:
    """Return `make()`; the dataclasses check their values when they are constructed."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: Robot SF refuses it: {first_line(error)}") from error


def _options(hint: Any) -> list[Any]:
    """Return the types in a hint: those of a union or a list, or the hint itself."""
    if get_origin(hint) in (Union, types.UnionType, list):
        return [option for part in get_args(hint) for option in _options(part)]
    return [hint]


def _dataclass_of(hint: Any) -> Any:
    return next((kind for kind in _options(hint) if is_dataclass(kind)), None)


def _enum_of(hint: Any) -> type[enum.Enum] | None:
    return next((kind for kind in _options(hint) if isinstance(kind, type) and issubclass(kind, enum.Enum)), None)


def _member(kind: type[enum.Enum], word: Any, path: str) -> enum.Enum:
    words = [str(member.value) for member in kind]
    if str(word) not in words:
        raise UserError(f"{path}={word!r} is not one of: {', '.join(words)}.{nearest(str(word), words)}")
    return next(member for member in kind if str(member.value) == str(word))


def _same_kind(current: Any, given: Any) -> bool:
    """Return whether a plain value has the type of the default; a default of None allows every type."""
    if current is None or given is None:
        return True
    if isinstance(current, bool) or isinstance(given, bool):
        return isinstance(current, bool) and isinstance(given, bool)
    if isinstance(current, (int, float)):
        return isinstance(given, int if isinstance(current, int) else (int, float))
    return isinstance(given, (list, tuple) if isinstance(current, (list, tuple)) else type(current))


def _check_arrival(node: Any, overrides: Mapping[str, Any], path: str) -> None:
    """Read every value back: aliases of Robot SF overwrite each other."""
    for name, given in overrides.items():
        held = getattr(node, name)
        if isinstance(given, Mapping) and is_dataclass(held):
            _check_arrival(held, given, f"{path}.{name}")
        elif not isinstance(given, Mapping) and _plain(held) != _plain(given):
            raise UserError(f"{path}.{name}={given!r} did not arrive: Robot SF made it {_plain(held)!r}.")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value
