"""Protocols: named lists of episodes (scenario and seed), with the environment's settings that belong to them."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from dreamer_exp.config.checks import check_settings
from dreamer_exp.config.compose import config_dirs
from dreamer_exp.config.errors import UserError, first_line, nearest
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.seeds import RESERVED, is_reserved
from dreamer_exp.envs.spec import spec_of
from dreamer_exp.formatting import printable, shortened
from dreamer_exp.rundir.parse import Unparsable, fits, parse_yaml

KEY = "evaluation.protocol"
FIXED_SEEDS = "fixed_seeds"
KEYS = ("name", "env", "seeds", "scenarios", "episodes")
MAX_BYTES = 2**24
MAX_EPISODES = 10_000  # as of evaluation.episodes: all of them are in one row

Episode = tuple[int, str | None]
"""Seed and scenario."""


@dataclass(frozen=True)
class Protocol:
    """A list of episodes.

    Attributes:
        name: of the protocol.
        episodes: seeds and scenarios in the order of the evaluation; None for `fixed_seeds`, which follows
            evaluation.episodes and evaluation.seed.
        env: settings of the environment that the episodes belong to.
    """

    name: str
    episodes: tuple[Episode, ...] | None = None
    env: Mapping[str, Any] = field(default_factory=dict)


def protocol_names() -> list[str]:
    """Return the names of the protocols in the option folders."""
    return sorted(path.stem for folder in config_dirs() for path in (folder / "protocol").glob("*.yaml"))


def read_protocol(name: str) -> Protocol:
    """Return the protocol of this name, or that in the file of this path (`.yaml`).

    Raises:
        UserError: there is no such protocol, or its file is wrong.
    """
    return _protocol_of(_find(name), name)


@cache  # read once in a process: a file that is edited during a run changes none of its evaluations
def _protocol_of(path: Path, name: str) -> Protocol:
    tree = _read(path, name)
    if unknown := next((key for key in tree if key not in KEYS), None):
        raise UserError(
            f"{path}: {unknown} is not a key of a protocol.{nearest(str(unknown), KEYS)} It has: {', '.join(KEYS)}."
        )
    if not isinstance(tree.get("name"), str):
        raise UserError(f"{path}: name is missing; write a word that names the protocol.")
    env = tree.get("env") or {}
    if not isinstance(env, dict):
        raise UserError(f"{path}: env={env!r} has to be settings of the environment, as env: {{name: robot_sf}}.")
    if tree["name"] == FIXED_SEEDS:
        if listed := next((key for key in ("seeds", "scenarios", "episodes") if key in tree), None):
            raise UserError(f"{path}: {listed}: {FIXED_SEEDS} has no list of episodes; give the protocol another name.")
        return Protocol(FIXED_SEEDS, None, env)
    episodes = _listed(tree, path) if "episodes" in tree else _product(tree, path)
    _check(episodes, path)
    return Protocol(tree["name"], episodes, env)


def evaluated(experiment: Experiment) -> Experiment:
    """Return the experiment with the protocol's settings of the environment.

    Raises:
        UserError: the protocol is wrong, is for another environment, or has a setting that this one lacks.
    """
    protocol = read_protocol(experiment.evaluation.protocol)
    key = f"{KEY}={shortened(printable(protocol.name))}"
    name = protocol.env.get("name", experiment.env.name)
    if name != experiment.env.name:
        raise UserError(f"{key} is for env={printable(str(name))}, not for env={experiment.env.name}.")
    env = _with(experiment.env, protocol.env, f"{key}: env")
    check_settings(f"{key}: env.", env)
    spec = spec_of(env)
    if protocol.env and spec.spaces is not None and spec.unchecked(env) is None:
        try:
            spec.spaces(env)
        except UserError as error:
            raise UserError(f"{key}: {error}") from error
    if protocol.episodes is not None and spec.unchecked(env) is None:
        _check_scenarios(protocol.episodes, spec.selectable(env), key)
    return replace(experiment, env=env)


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name).expanduser().absolute()
    found = next((path for folder in config_dirs() if (path := folder / "protocol" / f"{name}.yaml").is_file()), None)
    if found is None:
        names = protocol_names()
        raise UserError(
            f"{KEY}={name!r} is not one of: {', '.join(names)}.{nearest(name, names)} A file of your own is "
            "named by its path, as ./mine.yaml."
        )
    return found


def _read(path: Path, name: str) -> dict[Any, Any]:
    if not path.is_file():
        what = "not a plain file" if path.exists() else "no such file"
        raise UserError(f"{KEY}={name}: {what}; name a YAML file with a list of episodes.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f"{KEY}={name}: the file is larger than 16 MiB.")
        tree = parse_yaml(content, 4 * MAX_EPISODES)
    except (OSError, Unparsable) as error:
        raise UserError(f"{KEY}={name}: the file cannot be read ({first_line(error)}).") from error
    if not isinstance(tree, dict):
        raise UserError(f"{KEY}={name}: the file holds no settings; it needs: name, and seeds or episodes.")
    return tree


def _product(tree: Mapping[str, Any], path: Path) -> tuple[Episode, ...]:
    """Return each seed with all scenarios, so that the beginning of the list covers the scenarios evenly too."""
    seeds, scenarios = _seeds(tree.get("seeds"), path), tree.get("scenarios", [None])
    if not (isinstance(scenarios, list) and scenarios and all(isinstance(name, str | None) for name in scenarios)):
        raise UserError(f"{path}: scenarios={scenarios!r} has to be a list of names, as [door, hall].")
    if len(seeds) * len(scenarios) > MAX_EPISODES:
        raise UserError(f"{path}: {len(seeds) * len(scenarios):,} episodes are more than {MAX_EPISODES:,}.")
    return tuple((seed, name) for seed in seeds for name in scenarios)


def _seeds(given: Any, path: Path) -> list[int] | range:
    """Return the seeds of a list [1, 2] or of a range 1..30, bounds included."""
    if isinstance(given, str) and (bounds := re.fullmatch(r"(\d{1,10})\.\.(\d{1,10})", given)):
        return range(int(bounds[1]), int(bounds[2]) + 1)
    if isinstance(given, list) and all(isinstance(seed, int) and not isinstance(seed, bool) for seed in given):
        return given
    raise UserError(f"{path}: seeds={given!r} has to be whole numbers, as [900001, 900002] or 900001..900030.")


def _listed(tree: Mapping[str, Any], path: Path) -> tuple[Episode, ...]:
    """Return the episodes of a list [{seed: 1, scenario: door}, ...]."""
    if "seeds" in tree or "scenarios" in tree:
        raise UserError(f"{path}: give episodes, or seeds and scenarios, not both.")
    entries = tree["episodes"]
    return tuple(_episode(entry, path) for entry in (entries if isinstance(entries, list) else [entries]))


def _episode(entry: Any, path: Path) -> Episode:
    is_episode = isinstance(entry, dict) and entry.keys() <= {"seed", "scenario"}
    seed, scenario = (entry.get("seed"), entry.get("scenario")) if is_episode else (None, None)
    if not isinstance(seed, int) or isinstance(seed, bool) or not isinstance(scenario, str | None):
        shown = shortened(printable(repr(entry)))
        raise UserError(f"{path}: episodes: {shown} has to be {{seed: 900001, scenario: door}}.")
    return seed, scenario


def _check(episodes: tuple[Episode, ...], path: Path) -> None:
    if not episodes:
        raise UserError(f"{path}: it lists no episodes.")
    twice = next((episode for episode, times in Counter(episodes).items() if times > 1), None)
    if twice is not None:
        raise UserError(f"{path}: seed {twice[0]} occurs twice with scenario {twice[1]}.")
    used = next((seed for seed, _ in episodes if not is_reserved(seed)), None)
    if used is not None:
        kept = ", ".join(f"{seeds.start:,} to {seeds.stop - 1:,}" for seeds in RESERVED)
        raise UserError(f"{path}: training may use seed {used:,}; it never uses {kept}: choose seeds among these.")


def _check_scenarios(episodes: tuple[Episode, ...], names: Sequence[str] | None, key: str) -> None:
    """Refuse a scenario that the environment does not know, before a run meets it in its first evaluation."""
    if names is None:
        return
    unknown = next((name for _, name in episodes if name is not None and name not in names), None)
    if unknown is not None:
        known = f"It knows: {shortened(', '.join(names))}." if names else "It knows none with these options."
        what = f"{shortened(printable(unknown))!r} is not a scenario of the environment."
        raise UserError(f"{key}: {what}{nearest(unknown, names)} {known}")


def _with(node: Any, settings: Mapping[str, Any], path: str) -> Any:
    """Return a dataclass with these nested settings."""
    names = [declared.name for declared in fields(node)]
    values = {}
    for name, value in settings.items():
        if name not in names:
            raise UserError(f"{path}.{name}: there is no such key.{nearest(str(name), names)}")
        current = getattr(node, name)
        if not is_dataclass(current) and not fits(value, get_type_hints(type(node))[name]):
            raise UserError(f"{path}.{name}={shortened(repr(value))} has another type than {current!r}.")
        if is_dataclass(current) and not isinstance(value, Mapping):
            raise UserError(f"{path}.{name}={shortened(repr(value))} has to be settings, as {{key: value}}.")
        values[name] = _with(current, value, f"{path}.{name}") if is_dataclass(current) else value
    return replace(node, **values)
