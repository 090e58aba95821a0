"""Conversion of Hydra's DictConfig to an Experiment, in which every "auto" is a number."""

from dataclasses import fields, is_dataclass

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from dreamer_exp.config.checks import check_baselines, check_machine, check_values
from dreamer_exp.config.composition_errors import unknown_key
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.config.schema import AUTO, ExperimentConfig, HardwareConfig
from dreamer_exp.hardware import Machine, auto_env_runners


def load_experiment(config: DictConfig, machine: Machine) -> Experiment:
    """Return the composed config as a checked Experiment, resolved for this machine.

    Raises:
        UserError: A value is missing, out of range, or in conflict with another value or with the machine.
    """
    _refuse_additions("", config)
    try:
        composed = OmegaConf.to_object(config)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} has no value: give it one ({error.full_key}=...).") from error
    assert isinstance(composed, ExperimentConfig)
    check_values(composed)
    check_baselines(composed.evaluation.baselines)
    spec = find_spec("algorithms", composed.algo.name)
    hardware = resolve_hardware(composed.hardware, spec.overlaps_sampling, machine)
    experiment = Experiment(
        run=composed.run,
        env=composed.env,
        obs_contract=composed.obs_contract,
        algo=spec.resolve(composed.algo, hardware),
        hardware=hardware,
        tracking=composed.tracking,
        evaluation=composed.evaluation,
    )
    spec.check(experiment)
    check_machine(experiment, machine)
    return experiment


def _refuse_additions(prefix: str, node: DictConfig) -> None:
    """Raise UserError for a key that the schema lacks; Hydra adds any key given as `+key=value`."""
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


def resolve_hardware(config: HardwareConfig, can_overlap: bool, machine: Machine) -> Hardware:
    """Replace every "auto" by a number: CPUs and GPUs from the machine, env runners from the CPUs."""
    num_cpus = machine.cpus if config.num_cpus == AUTO else int(config.num_cpus)
    num_gpus = min(1, machine.gpus) if config.num_gpus_per_learner == AUTO else int(config.num_gpus_per_learner)
    num_env_runners = (
        auto_env_runners(num_cpus, config.max_env_runners)
        if config.num_env_runners == AUTO
        else int(config.num_env_runners)
    )
    worth_overlapping = can_overlap and num_gpus > 0 and num_env_runners > 0
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
