"""What a policy file holds about the environment that its policy acts in, for `load_policy` and exports."""

from typing import Any

from dreamer_exp.algorithms.spec import spec_of as algorithm_spec
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.envs.spec import spec_of


def policy_interface(experiment: Experiment, contract: ObservationContract) -> dict[str, Any]:
    """Return the JSON values of policy.json's `extra` that a robot needs: contract, environment and discount."""
    env, imagination = experiment.env, algorithm_spec(experiment.algo).imagination
    spec = spec_of(env)
    return {
        "contract": contract.to_dict(),
        "environment": {
            "name": env.name,
            "step_s": spec.step_s(env),
            "action_repeat": env.action_repeat,
            "units": {key: [unit.name, float(unit.scale)] for key, unit in spec.units(env).items()},
        },
        "discount": imagination(experiment.algo).discount if imagination else None,
    }
