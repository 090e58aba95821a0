"""Refuses values that cannot work: each fault is one line naming the key, the value and what is allowed."""

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import Field, asdict, fields, is_dataclass
from typing import Any

from dreamer_exp.config.byte_sizes import parse_bytes
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import find_specs
from dreamer_exp.config.schema import AUTO, AlgoConfig, ExperimentConfig
from dreamer_exp.config.sizes import FAST_SIZES, RLLIB_SIZES
from dreamer_exp.hardware import Machine

NUMBERS: dict[Any, str] = {int | str: "whole number", int | float | str: "number"}  # types that take "auto" too


def nearest(word: str, candidates: Sequence[str]) -> str:
    """` Did you mean 'x'?` for the candidate most like the word, or nothing when none is."""
    folded = {candidate.casefold(): candidate for candidate in candidates}
    close = difflib.get_close_matches(word.casefold(), list(folded), n=1, cutoff=0.5)
    return f" Did you mean {folded[close[0]]!r}?" if close else ""


def check_values(config: ExperimentConfig) -> None:
    """Checks each value by itself against the bounds and words its field declares.

    Raises:
        UserError: naming the first key whose value is not allowed.
    """
    for path, value, declared in _leaves("", config):
        _check_value(path, value, declared)


def check_baselines(names: Sequence[str]) -> None:
    """Check each name against the baselines of all environments.

    An environment leaves out those of others, so that a preset may name baselines for several.

    Raises:
        UserError: naming the first that no environment has.
    """
    for name in names:
        _check_word("evaluation.baselines", name, baseline_names())


def baseline_names() -> list[str]:
    """Return the words of evaluation.baselines: `random`, and what each environment adds."""
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


def _check_word(path: str, word: str, choices: Sequence[str]) -> None:
    if word not in choices:
        raise UserError(f"{path}={word!r} is not one of: {', '.join(choices)}.{nearest(word, choices)}")


def _check_bounds(path: str, value: float, low: float | None, high: float | None, above: float | None) -> None:
    asked = [
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
        raise UserError(f"{path}={value} is out of range: it has to be {' and '.join(asked)}.")


# keys that one learner reads and the other ignores
OF_FAST = (
    "kernels", "precision", "lr_warmup", "adaptive_grad_clip", "replay_device", "loss_scales", "decoder_scales",
)  # fmt: skip
OF_RLLIB = (
    "intrinsic_rewards_scale",
    "world_model_grad_clip_by_global_norm",
    "actor_grad_clip_by_global_norm",
    "critic_grad_clip_by_global_norm",
)


def check_learner(algo: AlgoConfig) -> None:
    """Refuses what the chosen learner does not know: a size, or a changed value of a key that it would ignore.

    Raises:
        UserError: naming the key and what the learner takes.
    """
    sizes = FAST_SIZES if algo.learner == "fast" else RLLIB_SIZES
    other = "rllib" if algo.learner == "fast" else "fast"
    if algo.model_size not in sizes:
        raise UserError(
            f"algo.model_size={algo.model_size!r} is none of algo.learner={algo.learner}'s sizes: {', '.join(sizes)}; "
            f"take one of these, or algo.learner={other}."
        )
    ignored = next(_ignored(algo), None)
    if ignored is not None:
        name, value = ignored
        raise UserError(
            f"algo.{name}={value} is read by algo.learner={other} alone, and this run has algo.learner={algo.learner}: "
            f"leave it out, or choose algo.learner={other}."
        )


def _ignored(algo: AlgoConfig) -> Iterator[tuple[str, Any]]:
    """Keys with a changed value that the chosen learner does not read."""
    default = AlgoConfig()
    for name in OF_RLLIB if algo.learner == "fast" else OF_FAST:
        if getattr(algo, name) != getattr(default, name):
            yield name, getattr(algo, name)
    if algo.learner == "rllib":
        yield from ((f"network.{name}", value) for name, value in asdict(algo.network).items() if value != AUTO)


def check_together(experiment: Experiment, machine: Machine) -> None:
    """Checks values against each other and against the machine.

    Raises:
        UserError: naming the first key that does not go with the others, and what would.
    """
    algo, hardware = experiment.algo, experiment.hardware
    if not isinstance(algo.replay_capacity, str):
        check_capacity(experiment)
    if algo.train_actor and not algo.train_critic:
        raise UserError("algo.train_critic=False with algo.train_actor=True: an actor needs its critic; set both.")
    if algo.learner == "fast":
        _check_fast(experiment)
    elif hardware.overlap_sampling:
        raise UserError("hardware.overlap_sampling=always: algo.learner=rllib samples and learns in turn; use never.")
    if hardware.num_learners > 1 and algo.batch_size_B % hardware.num_learners:
        raise UserError(
            f"hardware.num_learners={hardware.num_learners} has to divide algo.batch_size_B={algo.batch_size_B}."
        )
    if hardware.ray_address is None:
        _check_machine(experiment, machine)


def check_capacity(experiment: Experiment) -> None:
    """Checks the replay's capacity, in steps, against what is drawn from it.

    Raises:
        UserError: naming the least that would do.
    """
    algo, num_envs = experiment.algo, experiment.hardware.num_envs
    steps_a_batch = algo.batch_size_B * algo.batch_length_T
    if algo.replay_capacity < steps_a_batch:
        raise UserError(
            f"algo.replay_capacity={algo.replay_capacity} is less than one batch: it has to be at least "
            f"algo.batch_size_B x algo.batch_length_T = {steps_a_batch}."
        )
    a_stream = num_envs * (algo.batch_length_T + 1)
    if algo.learner == "fast" and algo.replay_capacity < a_stream:
        raise UserError(
            f"algo.replay_capacity={algo.replay_capacity} is too small: each of the {num_envs} environments "
            f"needs algo.batch_length_T + 1 = {algo.batch_length_T + 1} steps; at least {a_stream:,}."
        )


def _check_fast(experiment: Experiment) -> None:
    """What algo.learner=fast asks of other values."""
    algo, hardware, network = experiment.algo, experiment.hardware, experiment.algo.network
    assert network is not None
    if hardware.num_learners > 1:
        raise UserError(
            f"hardware.num_learners={hardware.num_learners}: algo.learner=fast learns in one process; use 0 (the main "
            "process) or 1, or algo.learner=rllib."
        )
    if network.deter % network.blocks:
        raise UserError(f"algo.network.blocks={network.blocks} has to divide algo.network.deter={network.deter}.")
    on_gpu = hardware.num_gpus_per_learner > 0
    of_gpu = (("kernels", "graph"), ("kernels", "fused"), ("precision", "tf32"), ("replay_device", "cuda"))
    for name, value in of_gpu:
        if getattr(algo, name) == value and not on_gpu:
            raise UserError(f"algo.{name}={value} needs a learner on a GPU: use hardware=cuda, or algo.{name}=auto.")


def _check_machine(experiment: Experiment, machine: Machine) -> None:
    hardware = experiment.hardware
    room = hardware.num_cpus - hardware.num_learners
    if hardware.num_env_runners > room:
        less = f" less hardware.num_learners={hardware.num_learners}" if hardware.num_learners else ""
        raise UserError(
            f"hardware.num_env_runners={hardware.num_env_runners} is more than hardware.num_cpus={hardware.num_cpus}"
            f"{less}: each takes one CPU, on which its environments take turns; "
            f"at most {max(0, room)}, where 0 steps in the main process."
        )
    gpus_asked = hardware.num_gpus_per_learner * max(1, hardware.num_learners)
    if gpus_asked > machine.gpus:
        raise UserError(
            f"hardware.num_gpus_per_learner={hardware.num_gpus_per_learner} asks for {gpus_asked} GPU(s), and this "
            f"machine shows {machine.gpus} ({machine.sources['gpus']}); use hardware=cpu, or mend the driver or "
            "CUDA_VISIBLE_DEVICES."
        )
