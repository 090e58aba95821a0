"""The experiment of a finished run, composed again under further overrides."""

from dataclasses import replace
from pathlib import Path

from omegaconf import DictConfig

from dreamer_exp.cli.errors import composing
from dreamer_exp.config import compose, load, saved_experiment
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.hardware import probe

ANY_NUMBER = 1_000_000  # of CPUs and GPUs


def recompose(run: Path, overrides: list[str]) -> Experiment:
    """Return the experiment of a run's directory under further overrides.

    Another environment (`env=...`) replaces the run's: the run's `env.*` keys do not apply to it, except
    `env.action_repeat`, which belongs to the policy and stays unless it is given.

    Raises:
        UserError: experiment.yaml is missing, or the overrides cannot work.
    """
    file = run / "experiment.yaml"
    with composing():
        if not any(word.startswith("env=") for word in overrides):
            return _load(saved_experiment.recompose(file, overrides)[0])
        env_words = [word for word in overrides if word.lstrip("+").startswith(("env=", "env."))]
        rest = [word for word in overrides if word not in env_words]
        experiment = _load(saved_experiment.recompose(file, rest)[0])
        env = _load(compose.compose_words(env_words)).env
        if not any(word.lstrip("+").startswith("env.action_repeat=") for word in env_words):
            env = replace(env, action_repeat=experiment.env.action_repeat)
        return replace(experiment, env=env)


def _load(config: DictConfig) -> Experiment:
    """Return the experiment without checks of this machine: a policy can be evaluated on any machine."""
    return load.load_experiment(config, replace(probe(), cpus=ANY_NUMBER, gpus=ANY_NUMBER))
