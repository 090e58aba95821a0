"""The interface of an environment: one EnvSpec, found by its folder or by an entry point (docs/environments.md)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import gymnasium

from dreamer_exp.config.plugins import check_options, find_spec
from dreamer_exp.config.schema import EnvConfig

RawEnv: TypeAlias = gymnasium.Env[Any, Any]
Spaces: TypeAlias = tuple[gymnasium.Space[Any], gymnasium.Space[Any]]
"""Observation and action space."""


class Baseline(Protocol):
    """A policy over the raw observations, to compare with."""

    def reset(self) -> None:
        """Forget the last episode; called after each reset of the environment."""

    def act(self, observation: Any) -> Any:
        """Return an action in the environment's action space."""


def _lack_nothing() -> str | None:
    return None


def _unchanged(config: Any) -> Any:
    return config


class BaselineSpec(NamedTuple):
    """How to make a baseline, and what it needs."""

    make: Callable[[RawEnv, int], Baseline]
    """Builds it from the raw environment and a seed."""
    reads: tuple[str, ...] = ()
    """Keys of the Dict observation that it reads; it is left out where one of them is not observed."""
    lacks: Callable[[], str | None] = _lack_nothing
    """Returns `needs the package X: <how to install it>` where a package is missing, else None."""
    driven_with: Callable[[Any], Any] = _unchanged
    """Returns the options with which it drives the episodes of a policy: with the observations that it reads.

    The episodes have to stay the same.
    """


class Unit(NamedTuple):
    """The unit of an observation entry: `scale` times the observed number is in unit `name`."""

    name: str
    scale: float = 1.0


class Diagnosis(NamedTuple):
    """One row of `dreamer-exp doctor`: the state of an environment here, and what to do about it ("": nothing)."""

    state: str
    advice: str = ""


Config = TypeVar("Config", bound=EnvConfig)


def _require_nothing(config: EnvConfig) -> None:
    return None


def _import_nothing(config: EnvConfig) -> str | None:
    return None


def _leave_nothing_unchecked(config: EnvConfig) -> str | None:
    return None


def _list_no_scenarios(config: EnvConfig) -> Sequence[str] | None:
    return None


def _draw_no_scenarios(config: EnvConfig) -> Mapping[str, float]:
    return {}


def _know_no_period(config: EnvConfig) -> float | None:
    return None


def _report_available() -> Diagnosis:
    return Diagnosis("available")


def _know_no_units(config: EnvConfig) -> Mapping[str, Unit]:
    return {}


@dataclass(frozen=True)
class EnvSpec(Generic[Config]):
    """One environment. Only the first three fields are required. `Config` is the class of the options."""

    name: str
    """The option: `env=<name>`."""
    config: type[Config]
    """The options: a frozen dataclass derived from EnvConfig, with fields made by `config.schema.key`."""
    make: Callable[[Config, str | None], RawEnv]
    """Builds the environment for a render mode; it truncates episodes at `config.max_steps`."""
    spaces: Callable[[Config], Spaces] | None = None
    """Returns the spaces, cheaply; without it, an environment is made and closed."""
    baselines: Mapping[str, BaselineSpec] = field(default_factory=dict)
    """Policies to compare with, by name; `random` exists for every environment."""
    require: Callable[[Config], None] = _require_nothing
    """Raises UserError if a package that a run needs is missing."""
    unchecked: Callable[[Config], str | None] = _leave_nothing_unchecked
    """Returns one line that names the options which cannot be checked on this machine, or None."""
    scenarios: Callable[[Config], Sequence[str] | None] = _list_no_scenarios
    """Returns the names of the scenarios that an evaluation covers evenly, or None without such a list.

    `reset` has to take each of them as options={"scenario": name}.
    """
    selectable: Callable[[Config], Sequence[str] | None] = _list_no_scenarios
    """Returns the names that `reset` takes as options={"scenario": name}, or None if only `reset` knows them."""
    drawn: Callable[[Config], Mapping[str, float]] = _draw_no_scenarios
    """Returns the scenarios that resets draw from, with their weights; `reset` takes each as for `scenarios`."""
    units: Callable[[Config], Mapping[str, Unit]] = _know_no_units
    """Returns the units of observation entries; the world-model check reports the errors of these entries."""
    step_s: Callable[[Config], float | None] = _know_no_period
    """Returns the seconds between two steps, for robots that a policy drives; None if time has no meaning."""
    diagnose: Callable[[], Diagnosis] = _report_available
    """Returns the row of `dreamer-exp doctor`."""
    imports: Callable[[Config], str | None] = _import_nothing
    """Returns the key (`env.id`) whose value names a module that `make` imports, or None.

    `evaluate` imports it only if the command line allows that: the value may be from another user's file.
    """
    packages: tuple[str, ...] | None = None
    """Distributions whose versions, together with the options and the seed, decide an episode.

    None if this isn't known: baselines are then evaluated again in every run.
    """
    conf: Path | None = None
    """A folder of option files (`env/<name>.yaml`, `experiment/...`), for an environment outside this repository."""

    def __post_init__(self) -> None:
        """Raise TypeError if `config` cannot serve as the typed options."""
        check_options(self.config, EnvConfig, self.name)


def spec_of(config: EnvConfig) -> EnvSpec[Any]:
    """Return the spec of the environment that these options belong to.

    Raises:
        UserError: no environment has this name, or its plug-in cannot be imported.
    """
    spec: EnvSpec[Any] = find_spec("envs", config.name)
    return spec
