"""Hydra's DictConfig -> Experiment: OmegaConf stops here, and every "auto" becomes a number."""

from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from dreamer_exp.config.checks import check_baselines, check_learner, check_together, check_values
from dreamer_exp.config.composition_errors import unknown_key
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Algo, Experiment, Hardware
from dreamer_exp.config.schema import AUTO, AlgoConfig, ExperimentConfig, HardwareConfig
from dreamer_exp.config.sizes import SIZES, NetworkSize
from dreamer_exp.hardware import Machine, auto_env_runners

# learning rates under auto: as published (arXiv 2301.04104v2, table of hyperparameters), and RLlib's own for XS
FAST_RATES = {"world_model_lr": 4e-5, "actor_lr": 4e-5, "critic_lr": 4e-5}
RLLIB_RATES = {"world_model_lr": 1e-4, "actor_lr": 3e-5, "critic_lr": 3e-5}
# how the fast learner computes an update under auto; a learner on a GPU that can't do fused takes graph (rungs.py)
ON_CPU = {"kernels": "eager", "precision": "float32", "replay_device": "cpu"}
ON_GPU = {"kernels": "fused", "precision": "tf32", "replay_device": AUTO}  # auto: until planning/forecast.py places it


def load_experiment(config: DictConfig, machine: Machine) -> Experiment:
    """The composed config as a checked Experiment, resolved for this machine.

    Raises:
        UserError: a value missing, out of range, or in conflict with another or with the machine.
    """
    _refuse_additions("", config)
    try:
        composed = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no value: give it one ({error.full_key}=...).") from error
    assert isinstance(composed, ExperimentConfig)
    check_values(composed)
    check_baselines(composed.evaluation.baselines)
    hardware = resolve_hardware(composed.hardware, composed.algo.learner, machine)
    experiment = Experiment(
        run=composed.run,
        env=composed.env,
        obs_contract=composed.obs_contract,
        algo=resolve_algo(composed.algo, on_gpu=hardware.num_gpus_per_learner > 0),
        hardware=hardware,
        tracking=composed.tracking,
        evaluation=composed.evaluation,
    )
    check_together(experiment, machine)
    return experiment


def _refuse_additions(prefix: str, node: DictConfig) -> None:
    """Hydra's `+key=value` passes the schema by: what it added where nothing may be added is refused here."""
    declared = OmegaConf.get_type(node)
    if not is_dataclass(declared):
        return
    known = {field.name for field in fields(declared)}
    for name in map(str, node):
        if name not in known:
            raise UserError(unknown_key(f"{prefix}{name}", declared))
        child = None if OmegaConf.is_missing(node, name) else node[name]
        if isinstance(child, DictConfig):
            _refuse_additions(f"{prefix}{name}.", child)


def resolve_algo(config: AlgoConfig, on_gpu: bool) -> Algo:
    """The algorithm's numbers for every "auto": network sizes, learning rates, and how an update is computed.

    Raises:
        UserError: a value that the chosen learner does not know.
    """
    check_learner(config)
    fast = config.learner == "fast"
    rates = FAST_RATES if fast else RLLIB_RATES
    resolved: dict[str, Any] = {declared.name: getattr(config, declared.name) for declared in fields(config)}
    resolved |= {name: rate if resolved[name] == AUTO else float(resolved[name]) for name, rate in rates.items()}
    resolved["network"] = resolve_network(config) if fast else None
    computing = ON_GPU if fast and on_gpu else ON_CPU
    resolved |= {name: word for name, word in computing.items() if resolved[name] == AUTO}
    return Algo(**resolved)


def resolve_network(config: AlgoConfig) -> NetworkSize:
    """The numbers of the model size, where they aren't given themselves."""
    given = {name: value for name, value in asdict(config.network).items() if value != AUTO}
    return replace(SIZES[config.model_size], **given)


def resolve_hardware(config: HardwareConfig, learner: str, machine: Machine) -> Hardware:
    """Numbers for every "auto": CPUs and GPUs from the machine, env runners from the CPUs."""
    num_cpus = machine.cpus if config.num_cpus == AUTO else int(config.num_cpus)
    num_gpus = min(1, machine.gpus) if config.num_gpus_per_learner == AUTO else int(config.num_gpus_per_learner)
    num_env_runners = (
        auto_env_runners(num_cpus, config.max_env_runners)
        if config.num_env_runners == AUTO
        else int(config.num_env_runners)
    )
    worth_overlapping = learner == "fast" and num_gpus > 0 and num_env_runners > 0
    return Hardware(
        name=config.name,
        num_cpus=num_cpus,
        num_env_runners=num_env_runners,
        num_envs_per_env_runner=config.num_envs_per_env_runner,
        rollout_fragment_length=config.rollout_fragment_length,
        overlap_sampling=worth_overlapping if config.overlap_sampling == AUTO else config.overlap_sampling == "always",
        num_learners=config.num_learners,
        num_gpus_per_learner=num_gpus,
        ray_address=config.ray_address,
    )
