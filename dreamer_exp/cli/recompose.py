"""The experiment of a finished run, composed again under further overrides."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from dreamer_exp.cli.errors import composing
from dreamer_exp.config import compose, load, saved_experiment
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.schema import EnvConfig
from dreamer_exp.envs.make import imported_key
from dreamer_exp.hardware import probe
from dreamer_exp.rundir.layout import RunDirectory

ANY_NUMBER = 1_000_000  # of CPUs and GPUs


def recompose(run: Path, overrides: list[str]) -> Experiment:
    """Return the experiment of a run's directory under further overrides.

    Another environment (`env=...`) replaces the run's: the run's `env.*` keys do not apply to it, except
    `env.action_repeat`, which belongs to the policy and stays unless it is given.

    Raises:
        UserError: experiment.yaml is missing or its network was edited, the overrides cannot work, or the file names a
            module to import.
    """
    file = RunDirectory(run).experiment
    env_words = [word for word in overrides if word.lstrip("+").startswith(("env=", "env."))]
    is_replaced = any(word.startswith("env=") for word in env_words)
    rest = [word for word in overrides if word not in env_words] if is_replaced else overrides
    with composing():
        experiment = _load(saved_experiment.recompose(file, rest)[0])
        saved_experiment.refuse_other_network(saved_experiment.edits(file) or {}, experiment)
        if is_replaced:
            return replace(experiment, env=_replacement(env_words, experiment.env.action_repeat))
        return experiment


def refuse_import(env: EnvConfig, run: Path, words: Sequence[str]) -> None:
    """Raise UserError if a file, and not the command line, names a module that the environment imports.

    Args:
        env: The environment's options, before it is made.
        run: The run's directory.
        words: The words of the command line.
    """
    key = imported_key(env)
    if key is None or any(word.startswith((f"{key}=", "trust=true")) for word in words):
        return
    value = getattr(env, key.partition(".")[2])
    raise UserError(
        f"{run}: {key}={value!r} imports a module that a file names; add trust=true if you would run it, or name it "
        f"yourself: {key}={value}"
    )


def _replacement(words: list[str], action_repeat: int) -> EnvConfig:
    env = _load(compose.compose_words(words)).env
    is_given = any(word.lstrip("+").startswith("env.action_repeat=") for word in words)
    return env if is_given else replace(env, action_repeat=action_repeat)


def _load(config: DictConfig) -> Experiment:
    """Return the experiment without checks of this machine: a policy can be evaluated on any machine."""
    return load.load_experiment(config, replace(probe(), cpus=ANY_NUMBER, gpus=ANY_NUMBER))
