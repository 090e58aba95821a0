"""env.config onto Robot SF's RobotSimulationConfig: each name and value checked against the real dataclass."""

import enum
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, Union, get_args, get_origin, get_type_hints

from dreamer_exp.config.checks import nearest
from dreamer_exp.config.errors import UserError, first_line

ROOT = "env.config"
ELSEWHERE = {
    f"{ROOT}.sim_config.sim_time_in_secs": "env.max_steps",
    f"{ROOT}.sim_config.time_per_step_in_secs": "env.dt",
    f"{ROOT}.lidar_config.scan_noise": "env.lidar_noise",
    f"{ROOT}.map_pool.map_defs": "env.scenario_matrix, or env.config.map_pool.maps_folder",
}
"""Fields that a key of ours sets."""
ALIASES = ("peds_have_robot_repulsion", "peds_have_obstacle_forces")
"""Fields of RobotSimulationConfig that mirror another one, and would write its old value back unless left empty."""


def apply_overrides(config: Any, overrides: Mapping[str, Any], remade: tuple[type, ...] = ()) -> Any:
    """A RobotSimulationConfig with nested overrides.

    Args:
        config: the RobotSimulationConfig to begin from; it is not changed.
        overrides: env.config.
        remade: dataclasses that are built anew from what is given, because what they hold was derived (a map pool).

    Raises:
        UserError: a field that is not there, a value of another type, or one that Robot SF refuses or alters.
    """
    if not overrides:
        return config
    values = _values(config, overrides, ROOT, remade)
    empty = {name: None for name in ALIASES if name not in values}
    changed = _construct(ROOT, lambda: replace(config, **values, **empty))
    _check_arrival(changed, overrides, ROOT)
    return changed


def _values(node: Any, overrides: Mapping[str, Any], path: str, remade: tuple[type, ...]) -> dict[str, Any]:
    """What to give to the dataclass of `node`, an instance or the class itself."""
    hints = get_type_hints(type(node) if not isinstance(node, type) else node)
    settable = [field.name for field in fields(node) if field.init]
    values = {}
    for name, asked in overrides.items():
        here = f"{path}.{name}"
        if here in ELSEWHERE:
            raise UserError(f"{here}: set {ELSEWHERE[here]} instead.")
        if name not in settable:
            hint = nearest(str(name), settable).replace("'", f"'{path}.", 1)
            raise UserError(f"{here}: Robot SF has no such field.{hint} {path} has: {', '.join(settable)}.")
        values[name] = _value(getattr(node, name, None), asked, hints[name], here, remade)
    return values


def _value(current: Any, asked: Any, hint: Any, path: str, remade: tuple[type, ...]) -> Any:
    if isinstance(asked, Mapping):
        return _nested(current, asked, hint, path, remade)
    if is_dataclass(current) and asked is not None:
        raise UserError(f"{path}={asked!r}: it takes fields of its own: {', '.join(f.name for f in fields(current))}.")
    kind = _enum_of(hint)
    if kind is not None and asked is not None:
        words = asked if isinstance(asked, list) else [asked]
        members = [_member(kind, word, path) for word in words]
        return members if isinstance(asked, list) else members[0]
    if not _same_kind(current, asked):
        raise UserError(f"{path}={asked!r} is of the wrong type: it is {current!r} by default.")
    return asked


def _nested(current: Any, asked: Mapping[str, Any], hint: Any, path: str, remade: tuple[type, ...]) -> Any:
    if is_dataclass(current) and not isinstance(current, remade):
        values = _values(current, asked, path, remade)
        return _construct(path, lambda: replace(current, **values))  # type: ignore[type-var]  # an instance
    kind: Any = type(current) if is_dataclass(current) else _dataclass_of(hint)
    if kind is None:
        if isinstance(current, dict):
            return dict(asked)
        raise UserError(f"{path}={dict(asked)!r}: it is one value, {current!r} by default, and has no fields.")
    values = _values(kind, asked, path, remade)
    return _construct(path, lambda: kind(**values))


def _construct(path: str, make: Any) -> Any:
    """What `make` makes; the dataclasses check their values as they are made."""
    try:
        return make()
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: Robot SF refuses it: {first_line(error)}") from error


def _options(hint: Any) -> list[Any]:
    """The types that a hint names: those of a union, of a list, or itself."""
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


def _same_kind(current: Any, asked: Any) -> bool:
    """Whether a plain value may stand for the default; a default of None tells nothing."""
    if current is None or asked is None:
        return True
    if isinstance(current, bool) or isinstance(asked, bool):
        return isinstance(current, bool) and isinstance(asked, bool)
    if isinstance(current, (int, float)):
        return isinstance(asked, int if isinstance(current, int) else (int, float))
    return isinstance(asked, (list, tuple) if isinstance(current, (list, tuple)) else type(current))


def _check_arrival(node: Any, overrides: Mapping[str, Any], path: str) -> None:
    """Read every value back: Robot SF has aliases that overwrite each other."""
    for name, asked in overrides.items():
        held = getattr(node, name)
        if isinstance(asked, Mapping) and is_dataclass(held):
            _check_arrival(held, asked, f"{path}.{name}")
        elif not isinstance(asked, Mapping) and _plain(held) != _plain(asked):
            raise UserError(f"{path}.{name}={asked!r} did not arrive: Robot SF made it {_plain(held)!r}.")


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value
