"""The log of finished episodes, by which a killed evaluation continues."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from dreamer_exp.evaluation.episode_log import EpisodeLog, identity_of
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.evaluate import evaluate_policy
from dreamer_exp.evaluation.report import EvaluationReport
from dreamer_exp.evaluation.rollout import MakePolicy
from dreamer_exp.evaluation.trajectories import Track
from dreamer_exp.evaluation.video.request import FilmRequest
from tests.evaluation.policies import Wanderer
from tests.experiments import nano

EXPERIMENT = nano("evaluation.episodes=3", "evaluation.baselines=[]", "env.max_steps=5")
EPISODES = list(episode_list(EXPERIMENT).episodes)


@pytest.fixture
def log(tmp_path: Path) -> EpisodeLog:
    """Return the log that a killed evaluation leaves behind: two episodes, and a part of the third."""
    left = EpisodeLog(tmp_path, identity_of(EXPERIMENT, "weights"))
    for finished in evaluate_policy(EXPERIMENT, Wanderer, Track)[:2]:
        left.append(finished)
    with left.path.open("a") as file:
        file.write('{"seed": 1000002, "scen')
    return left


def report(folder: Path, policy: MakePolicy = Wanderer) -> str:
    console = Console(width=100, record=True, force_terminal=False)
    EvaluationReport(EXPERIMENT, policy, "weights", "a run", folder / "evaluation", console).evaluate(
        {}, 512, 8, FilmRequest()
    )
    return console.export_text()


class Recorded(Wanderer):
    """Policy that records the seeds of the episodes it begins."""

    begun: list[int] = []  # noqa: RUF012

    def begin(self, row: int, seed: int) -> None:
        self.begun.append(seed)
        super().begin(row, seed)


def test_logged_episodes_come_back_with_their_tracks(log: EpisodeLog) -> None:
    expected = evaluate_policy(EXPERIMENT, Wanderer, Track)
    found = log.load(EPISODES)
    assert list(found) == EPISODES[:2]
    for episode, finished in zip(EPISODES, expected[:2], strict=False):
        assert found[episode].result == finished.result
        assert found[episode].recording.points == finished.recording.points
        assert found[episode].recording.to_dict() == finished.recording.to_dict()


def test_a_damaged_last_line_is_dropped_and_its_place_is_written_again(log: EpisodeLog) -> None:
    log.load(EPISODES)
    log.append(evaluate_policy(EXPERIMENT, Wanderer, Track)[2])
    assert list(log.load(EPISODES)) == EPISODES


@pytest.mark.parametrize(
    "forged",
    [
        {"result": {"episode_return": "x", "length": 1}},
        {"result": {"episode_return": 1.0, "length": 1, "outcome": {"a": 1}}},
        {"result": {"episode_return": 1.0, "length": 1, "social": {"a": [1]}}},
        {"result": []},
        {"seed": {}},
        {"track": {"scene": {"walls": [[1, 2, 3]], "route": []}, "points": []}},
        {"track": {"scene": None, "points": [["x", 1]]}},
    ],
)
def test_a_line_of_another_form_is_dropped(log: EpisodeLog, forged: dict[str, object]) -> None:
    first, second, _ = log.path.read_text().splitlines(keepends=True)
    log.path.write_text(json.dumps({**json.loads(first), **forged}) + "\n" + second)
    assert list(log.load(EPISODES)) == EPISODES[1:2]


def test_episodes_of_other_seeds_are_left_alone(log: EpisodeLog) -> None:
    assert log.load([EvaluationEpisode(5)]) == {}
    assert len(log.load(EPISODES)) == 2


def test_a_killed_evaluation_continues_with_the_missing_episodes(log: EpisodeLog, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    report(elsewhere)
    Recorded.begun.clear()
    text = report(tmp_path, Recorded)
    assert Recorded.begun == [EPISODES[2].seed]
    assert "the policy: continuing after 2 episodes of an evaluation that was cut off" in text
    written = [json.loads((folder / "evaluation.json").read_text()) for folder in (tmp_path, elsewhere)]
    assert written[0] == written[1]


def test_a_complete_evaluation_leaves_no_log(log: EpisodeLog, tmp_path: Path) -> None:
    report(tmp_path)
    assert not log.path.exists()


LATEST = nano("env.max_steps=5", "obs_contract=drive_state_rays_latest")


@pytest.mark.parametrize(
    "other",
    [
        identity_of(EXPERIMENT, "other weights"),
        identity_of(nano("env.max_steps=6"), "weights"),
        identity_of(LATEST, "weights"),
    ],
    ids=["policy", "env", "contract"],
)
def test_another_policy_env_or_contract_has_another_log(other: dict[str, object], log: EpisodeLog) -> None:
    assert EpisodeLog(log.path.parent, other).path != log.path
