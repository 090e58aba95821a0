"""One quiet local Ray for all tests that train in this process."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # nano networks: two threads would only wait for each other
os.environ["WANDB_MODE"] = "offline"  # whatever the machine's own settings are, no test reaches a network


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    from dreamer_exp.dreamer.cluster import ray_session
    from dreamer_exp.runs.logs import quiet
    from tests.experiments import nano

    quiet("WARNING")
    with ray_session(nano()):
        yield
