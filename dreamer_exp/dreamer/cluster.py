"""Ray for one run: a quiet local instance on loopback, or a cluster that runs already."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment

# read by Ray when it starts
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing anywhere
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # no notice about CUDA_VISIBLE_DEVICES
}


@contextmanager
def ray_session(experiment: Experiment) -> Iterator[None]:
    """Ray initialised for this experiment, and shut down at the end whatever happened.

    Raises:
        UserError: no cluster answers at hardware.ray_address.
    """
    hardware, level = experiment.hardware, experiment.run.log_level
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    debugging = level == "DEBUG"
    common = {"logging_level": logging.DEBUG if debugging else logging.CRITICAL, "log_to_driver": debugging}
    try:
        if hardware.ray_address is not None:
            ray.init(address=hardware.ray_address, **common)
        else:
            ray.init(
                num_cpus=hardware.num_cpus,
                num_gpus=hardware.num_gpus_per_learner * max(1, hardware.num_learners),
                include_dashboard=False,
                _node_ip_address="127.0.0.1",
                **common,
            )
    except ConnectionError as error:
        raise UserError(
            f"hardware.ray_address={hardware.ray_address!r}: no Ray cluster answers there ({error}); start one with "
            "`ray start --head`, or leave it null for a local one."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
