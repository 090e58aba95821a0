"""The last step before a run, a dry run, a resume or a job of a sweep: what depends on the observations, and checks."""

from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.make import contract_of, unchecked
from dreamer_exp.envs.scenario_sampling import drawn_scenarios, follows_failures
from dreamer_exp.hardware import Machine
from dreamer_exp.planning.ends import check_ends
from dreamer_exp.planning.forecast import check_memory, settle
from dreamer_exp.planning.protocol import evaluated
from dreamer_exp.rundir import metric_names
from dreamer_exp.scratch import short_temporary_folder
from dreamer_exp.tracking.wandb.names import check_names


def resolve(experiment: Experiment, machine: Machine) -> tuple[Experiment, ObservationContract]:
    """Return the experiment with its options settled, and the contract of its environment.

    Raises:
        UserError: the run cannot work on this machine; the message names the key.
    """
    evaluated(experiment)
    check_ends(experiment)
    if experiment.hardware.ray_address is None:
        short_temporary_folder()
    contract = contract_of(experiment.env, experiment.obs_contract)
    if follows_failures(experiment.env) and unchecked(experiment.env) is None:
        drawn_scenarios(experiment.env)
    spec = spec_of(experiment.algo)
    experiment = settle(experiment, contract, machine)
    metric_names.check_objective(experiment.run.objective, spec.name, spec.metrics)
    spec.check_contract(experiment, contract)
    check_names(experiment.tracking)
    check_memory(experiment, contract, machine)
    return experiment, contract
