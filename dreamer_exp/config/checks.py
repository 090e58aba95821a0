"""Checks of values: a fault is a UserError of one line that names the key, the value and what is allowed."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import Field, fields, is_dataclass
from typing import Any

from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import find_specs
from dreamer_exp.config.schema import AUTO, ExperimentConfig
from dreamer_exp.formatting import shortened
from dreamer_exp.hardware import Machine
from dreamer_exp.rundir.parse import fits

NUMBERS: dict[Any, str] = {int | str: "whole number", int | float | str: "number"}  # types that take "auto" too


def check_values(config: ExperimentConfig) -> None:
    """Check each value by itself against the bounds and words that its field declares.

    Raises:
        UserError: Names the first key whose value is not allowed.
    """
    check_settings("", config)


def check_settings(prefix: str, node: Any) -> None:
    """Check the values of a part of the settings, which is at `prefix`; raises UserError as `check_values`."""
    for path, value, declared in _leaves(prefix, node):
        _check_value(path, value, declared)


def check_baselines(names: Sequence[str]) -> None:
    """Check each name against the baselines of all environments.

    An evaluation skips baselines of other environments, so that a preset may name baselines for several environments.

    Raises:
        UserError: Names the first baseline that no environment has, or that is named twice.
    """
    for name in names:
        _check_word("evaluation.baselines", name, baseline_names())
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"evaluation.baselines: {twice!r} is given twice; name each baseline once.")


def baseline_names() -> list[str]:
    """Return the names allowed in evaluation.baselines: `random`, and those of each environment."""
    added = dict.fromkeys(name for spec in find_specs("envs").values() for name in spec.baselines)
    return ["random", *added]


def _leaves(prefix: str, node: Any) -> Iterator[tuple[str, Any, Field[Any]]]:
    for declared in fields(node):
        value = getattr(node, declared.name)
        path = f"{prefix}{declared.name}"
        if is_dataclass(value):
            yield from _leaves(f"{path}.", value)
        else:
            yield path, value, declared


def _check_value(path: str, value: Any, declared: Field[Any]) -> None:
    allowed = declared.metadata
    if isinstance(value, (list, dict)) and not fits(value, declared.type):  # OmegaConf lets a list or mapping in them
        raise UserError(f"{path}={shortened(str(value))} has a part of the wrong type: it takes a {declared.type}.")
    for inner, number in _inner_numbers(path, value):
        if not math.isfinite(number):
            raise UserError(
                f"{inner}={number} is not finite, which the run's files cannot hold; if it is a word, quote it: "
                f'"{number}".'
            )
    if allowed["choices"] is not None:
        for word in value if isinstance(value, list) else [value]:
            _check_word(path, word, allowed["choices"])
    if allowed["memory"] and isinstance(value, str):
        if parse_bytes(value) is None:
            raise UserError(f"{path}={value!r} is neither a whole number nor memory: write it as 8 GiB or 500 MB.")
    elif declared.type in NUMBERS and isinstance(value, str) and value != AUTO:
        raise UserError(f"{path}={value!r} is neither a {NUMBERS[declared.type]} nor {AUTO!r}.")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_bounds(path, value, allowed["low"], allowed["high"], allowed["above"])


def _inner_numbers(path: str, value: Any) -> Iterator[tuple[str, float]]:
    """Return the floats of a list or mapping, at any depth, with their keys."""
    if isinstance(value, dict):
        inner = [(f"{path}.{name}", part) for name, part in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{index}]", part) for index, part in enumerate(value)]
    else:
        inner = []
    for name, part in inner:
        if isinstance(part, float):
            yield name, part
        yield from _inner_numbers(name, part)


def _check_word(path: str, word: str, choices: Sequence[str]) -> None:
    if word not in choices:
        raise UserError(f"{path}={word!r} is not one of: {', '.join(choices)}.{nearest(word, choices)}")


def _check_bounds(path: str, value: float, low: float | None, high: float | None, above: float | None) -> None:
    rules = [
        *(["finite"] if not math.isfinite(value) else []),
        *([f"at least {low}"] if low is not None else []),
        *([f"more than {above}"] if above is not None else []),
        *([f"at most {high}"] if high is not None else []),
    ]
    inside = (
        math.isfinite(value)
        and (low is None or value >= low)
        and (above is None or value > above)
        and (high is None or value <= high)
    )
    if not inside:
        raise UserError(f"{path}={value} is out of range: it has to be {' and '.join(rules)}.")


def check_machine(experiment: Experiment, machine: Machine) -> None:
    """Check the requested hardware against this machine; with hardware.ray_address, nothing is checked.

    Raises:
        UserError: Names the first key that requests more than the machine has.
    """
    if experiment.hardware.ray_address == "":
        raise UserError("hardware.ray_address is empty; name a cluster, as HOST:PORT, or use null.")
    if experiment.hardware.ray_address is None:
        _check_machine(experiment, machine)


def _check_machine(experiment: Experiment, machine: Machine) -> None:
    hardware = experiment.hardware
    free_cpus = hardware.num_cpus - hardware.num_learners
    if hardware.num_env_runners > free_cpus:
        less = f" less hardware.num_learners={hardware.num_learners}" if hardware.num_learners else ""
        raise UserError(
            f"hardware.num_env_runners={hardware.num_env_runners} is more than hardware.num_cpus={hardware.num_cpus}"
            f"{less}: each takes one CPU, on which its environments take turns; "
            f"at most {max(0, free_cpus)}, where 0 steps in the main process."
        )
    requested_gpus = hardware.num_gpus_per_learner * max(1, hardware.num_learners)
    if requested_gpus > machine.gpus:
        raise UserError(
            f"hardware.num_gpus_per_learner={hardware.num_gpus_per_learner} asks for {requested_gpus} GPU(s), and this "
            f"machine shows {machine.gpus} ({machine.sources['gpus']}); use hardware=cpu, or repair the driver or "
            "CUDA_VISIBLE_DEVICES."
        )
