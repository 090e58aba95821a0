"""Helpers for the config tests: composition in this process, the options in conf/, and every key of the schema."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from dreamer_exp.config import compose
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.help_text import groups
from dreamer_exp.config.load import load_experiment
from dreamer_exp.config.schema import ExperimentConfig
from dreamer_exp.hardware import Machine
from tests.composition import composed
from tests.experiments import machine

CONF = compose.config_dir()
GROUPS = groups()
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]
PRESETS = [option for group, option in OPTIONS if group == "experiment"]
OF_ONE_ALGORITHM = {  # presets that choose an algorithm without a world model
    name for name in PRESETS if "override /algo" in (CONF / f"experiment/{name}.yaml").read_text(encoding="utf-8")
}


@cache
def composed_object(*overrides: str) -> ExperimentConfig:
    """Return the composed config as dataclasses, before "auto" is resolved; callers must not change its mappings."""
    config = OmegaConf.to_object(composed(*overrides))
    assert isinstance(config, ExperimentConfig)
    return config


def loaded(*overrides: str, on: Machine | None = None) -> Experiment:
    """Return the Experiment of these words on a machine, by default one with 64 CPUs and 8 GPUs."""
    return load_experiment(composed(*overrides), on or machine(cpus=64, gpus=8))


def value_at(tree: Any, path: str) -> Any:
    """Return the value of a dotted key in nested dataclasses."""
    for name in path.split("."):
        tree = getattr(tree, name)
    return tree


def option_file(group: str, option: str) -> Path:
    """Return the file of an option."""
    return CONF / group / f"{option}.yaml"


@dataclass(frozen=True)
class Key:
    """One key of the schema, with the option whose tree it is in."""

    option: str  # "env=gym", "algo=dreamerv3"; "": the defaults
    path: str
    declared: Field[Any]

    def __str__(self) -> str:
        return f"{self.path} ({self.option})" if self.option else self.path

    @property
    def bounds(self) -> tuple[float | None, float | None, float | None]:
        """low, high (inclusive) and above (exclusive)."""
        allowed = self.declared.metadata
        return allowed["low"], allowed["high"], allowed["above"]

    @property
    def choices(self) -> tuple[str, ...] | None:
        """The words allowed."""
        words: tuple[str, ...] | None = self.declared.metadata["choices"]
        return words

    @property
    def takes(self) -> Any:
        """Its declared type."""
        return self.declared.type


def schema_keys() -> list[Key]:
    """Return every key: those of each environment and algorithm, and all others once."""
    words = [(group, f"{group}={option}") for group, option in OPTIONS if group in compose.VARYING]
    of_options = [
        Key(word, path, declared)
        for group, word in words
        for path, declared in _leaves(composed_object(word))
        if path.startswith(f"{group}.")
    ]
    others = [Key("", path, declared) for path, declared in _leaves(composed_object())]
    return of_options + [key for key in others if key.path.partition(".")[0] not in compose.VARYING]


def tree_of(key: Key) -> ExperimentConfig:
    """Return the composed tree that the key is in."""
    return composed_object(*([key.option] if key.option else []))


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Field[Any]]]:
    for declared in fields(node):
        child = getattr(node, declared.name)
        if is_dataclass(child):
            yield from _leaves(child, f"{prefix}{declared.name}.")
        else:
            yield f"{prefix}{declared.name}", declared


def with_value(tree: Any, path: str, value: Any) -> Any:
    """Return the dataclasses with another value of a dotted key."""
    name, _, rest = path.partition(".")
    return replace(tree, **{name: with_value(getattr(tree, name), rest, value) if rest else value})
