"""The specs of our algorithms."""

import pytest

from dreamer_exp.algorithms.spec import UpdateWork, spec_of
from tests.experiments import experiment

each_algorithm = pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])


@pytest.mark.parametrize(
    ("algo", "text"),
    [
        ("dreamerv3", "dreamerv3 on cpu (backend eager, precision float32), size nano"),
        ("dreamerv3_rllib", "dreamerv3_rllib on cpu, size nano"),
    ],
)
def test_a_description_has_backend_and_precision_where_there_is_a_choice(algo: str, text: str) -> None:
    options = experiment(f"algo={algo}", "algo.model_size=nano").algo
    spec = spec_of(options)
    assert spec.describe(options, spec.backend(options), " on cpu") == text


@each_algorithm
def test_the_work_of_an_update_is_its_sequences_times_their_steps(algo: str) -> None:
    options = experiment(f"algo={algo}", "algo.batch_size_B=4", "algo.batch_length_T=8", "algo.training_ratio=2").algo
    work = spec_of(options).work(options)
    assert (work, work.steps) == (UpdateWork(2.0, (4, 8), windows=algo == "dreamerv3"), 32)


def test_a_replayed_update_is_computed_eagerly_on_the_host() -> None:
    asked = experiment("algo=dreamerv3", "algo.precision=bfloat16")
    options = spec_of(asked.algo).update_on_cpu(asked)
    assert (options.backend, options.replay_device, options.precision) == ("eager", "cpu", "bfloat16")


@each_algorithm
def test_a_replayed_update_needs_the_smallest_replay(algo: str) -> None:
    asked = experiment(f"algo={algo}", "hardware.num_envs_per_env_runner=3", "algo.batch_length_T=8")
    options = spec_of(asked.algo).update_on_cpu(asked)
    assert options.replay_capacity == 2 * asked.hardware.num_envs * 9
