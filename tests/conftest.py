"""Settings of the test session, and one local Ray for all tests that train in this process."""

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # nano networks: two threads would only wait for each other
os.environ["WANDB_MODE"] = "offline"  # no test uses the network


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with real runs first, then those with slow tests.

    A long file that begins last would keep one worker waiting for the other.
    """
    real, slow = ({item.path for item in items if item.get_closest_marker(name)} for name in ("end_to_end", "slow"))
    items.sort(key=lambda item: (item.path not in real, item.path not in slow))


@pytest.fixture(scope="session", autouse=True)
def temporary_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Use a temporary cache for baselines; matplotlib keeps the user's list of fonts."""
    import matplotlib as mpl

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", mpl.get_cachedir())
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def ray_local() -> Iterator[None]:
    from dreamer_exp.algorithms.rllib.ray_session import ray_session
    from dreamer_exp.monitoring.logs import quiet
    from tests.experiments import nano

    quiet("WARNING")
    with ray_session(nano("hardware.num_cpus=2")):
        yield
