"""Weights of scenarios by failures: their floor and window, the rows of a run, and equality after a resume."""

import json
from pathlib import Path

import pytest

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.training.scenario_failures import EPISODES, ScenarioFailures
from tests.checkpoints.resume.test_resume import run, without_times
from tests.experiments import NANO, nano


def ended(scenario: str, outcome: str | None, seed: int = 0) -> EpisodeResult:
    return EpisodeResult(0.0, 1, outcome=outcome, scenario=scenario, seed=seed)


def test_scenarios_without_episodes_keep_the_environments_weights() -> None:
    assert ScenarioFailures({"a": 1.0, "b": 3.0}, floor=0.1).weights() == {"a": 0.25, "b": 0.75}


def test_a_solved_scenario_is_drawn_at_the_floor() -> None:
    failures = ScenarioFailures({"a": 1.0, "b": 1.0}, floor=0.25)

    failures.add([ended("a", "success"), ended("b", "timeout")])

    assert failures.weights() == {"a": 0.2, "b": 0.8}


def test_only_the_last_episodes_of_a_scenario_count() -> None:
    failures = ScenarioFailures({"a": 1.0, "b": 1.0}, floor=0.5)

    failures.add([ended("a", "wall_collision") for _ in range(EPISODES)])
    for _ in range(EPISODES):
        failures.add([ended("a", "success")])

    assert failures.weights()["a"] == pytest.approx(1 / 3)


def test_faults_and_unknown_outcomes_do_not_count() -> None:
    failures = ScenarioFailures({"a": 1.0, "b": 1.0}, floor=0.5)

    failures.add([ended("a", "fault"), ended("a", None), ended("elsewhere", "success")])

    assert failures.to_dict() == {"a": [], "b": []}


def test_the_order_of_an_iterations_episodes_does_not_matter() -> None:
    episodes = [ended("a", "success" if i % 3 else "timeout", seed=i) for i in range(EPISODES + 5)]
    one, other = (ScenarioFailures({"a": 1.0, "b": 1.0}, floor=0.1) for _ in range(2))

    one.add(episodes)
    other.add(reversed(episodes))

    assert one.to_dict() == other.to_dict()


def test_the_state_is_json_and_comes_back() -> None:
    failures, loaded = (ScenarioFailures({"a": 1.0, "b": 1.0}, floor=0.1) for _ in range(2))
    failures.add([ended("a", "success"), ended("b", "timeout")])

    loaded.load_state(json.loads(json.dumps(failures.to_dict())))

    assert loaded.weights() == failures.weights()


WORDS = (
    *NANO,
    "env.scenario=mixed",
    "env.failure_floor=0.1",
    "env.scenario_weights={open: 1, crossing: 1, corridor: 0, doorway: 0, intersection: 0, blocks: 0, dense: 0}",
    "env.max_steps=8",
    "evaluation.episodes=0",
    "tracking=none",
)


@pytest.mark.usefixtures("ray_local")
@pytest.mark.slow
def test_env_runners_draw_by_the_weights_that_were_set(request: pytest.FixtureRequest) -> None:
    algorithm = build_algorithm(nano(*WORDS[len(NANO) :], "hardware.num_env_runners=1", "env.max_steps=4"))
    request.addfinalizer(algorithm.stop)

    for family in ("open", "crossing"):
        algorithm.set_scenario_weights({"open": 0.0, "crossing": 0.0, family: 1.0})
        algorithm.train()
        algorithm.reset_episodes(1)  # drops what was begun with these weights
        assert {episode.scenario for episode in algorithm.last_iteration.episodes[1:]} == {family}


def rows(root: Path, *words: str) -> list[dict[str, object]]:
    code, out, err = run(*WORDS, f"hydra.run.dir={root}", *words)
    assert code == 0, out + err
    return without_times(read_rows(RunDirectory(root).result))


def outcomes(root: Path) -> dict[str, list[bool]]:
    """Return the outcomes in a run's latest checkpoint; in so few steps, no episode succeeds."""
    checkpoints = RunDirectory(root).checkpoints
    found = json.loads((checkpoints / (checkpoints / "latest").read_text().strip() / "progress.json").read_text())
    failed: dict[str, list[bool]] = found["scenario_failures"]
    assert all(failed[family] for family in ("open", "crossing"))
    return failed


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.parametrize("hardware", [("num_env_runners=0",), ("num_env_runners=1", "overlap_sampling=always")])
def test_resumed_halves_equal_an_uninterrupted_run(tmp_path: Path, hardware: tuple[str, ...]) -> None:
    here = (*(f"hardware.{word}" for word in hardware), "run.checkpoint_every=2")

    complete = rows(tmp_path / "complete", *here, "run.train_iterations=4")
    rows(tmp_path / "halves", *here, "run.train_iterations=2")
    code, out, err = run(f"resume={tmp_path / 'halves'}", "run.train_iterations=4")

    assert code == 0, out + err
    assert without_times(read_rows(RunDirectory(tmp_path / "halves").result)) == complete
    assert outcomes(tmp_path / "halves") == outcomes(tmp_path / "complete")


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("runners", "overlap"), [(1, "never"), (2, "never"), (2, "always")]
)  # resumed halves repeat one env runner that overlaps
def test_runs_with_env_runners_repeat_bit_for_bit(tmp_path: Path, runners: int, overlap: str) -> None:
    words = (
        f"hardware.num_env_runners={runners}",
        "hardware.num_cpus=2",
        f"hardware.overlap_sampling={overlap}",
        "run.train_iterations=3",
    )

    assert rows(tmp_path / "one", *words) == rows(tmp_path / "other", *words)
