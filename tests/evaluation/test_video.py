"""Videos of episodes: which are filmed, and that they show the evaluated ones."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation import video
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.evaluate import evaluate_policy
from dreamer_exp.evaluation.rollout import Finished
from tests.evaluation.policies import Wanderer
from tests.experiments import experiment, nano, nano_gym
from tests.training import odd_envs  # noqa: F401  # registers Blind and Mute


def ended(*outcomes: str | None) -> list[Finished]:
    """Return episodes with these outcomes, of seeds 10, 11, ..."""
    results = [EpisodeResult(0.0, 1, outcome=outcome) for outcome in outcomes]
    return [Finished(EvaluationEpisode(seed), result) for seed, result in enumerate(results, 10)]


def chosen(finished: list[Finished], count: int) -> list[int]:
    return [episode.seed for episode in video.choose(finished, count)]


def test_the_first_failures_are_filmed_then_the_first_others() -> None:
    results = ended("success", "timeout", "success", "wall_collision", "timeout")
    assert chosen(results, 2) == [11, 13]
    assert chosen(results, 4) == [11, 13, 14, 10]


def test_a_file_name_holds_the_scenario_of_a_list() -> None:
    (finished,) = ended("timeout")
    assert video.file_name("film", EvaluationEpisode(7), finished.result) == "film_seed7_timeout.gif"
    assert video.file_name("film", EvaluationEpisode(7, "a/b 1"), finished.result) == "film_a-b-1_seed7_timeout.gif"


def test_without_failures_or_outcomes_the_first_episodes_are_filmed() -> None:
    assert chosen(ended("success", "success", "success"), 2) == [10, 11]
    assert chosen(ended(None, None, None), 2) == [10, 11]


def test_a_video_shows_the_evaluated_episode(tmp_path: Path) -> None:
    settings = nano("env.scenario=dense", "env.max_steps=60", "evaluation.episodes=3")
    results = [finished.result for finished in evaluate_policy(settings, Wanderer)]
    (path,) = video.film(settings, Wanderer, [EvaluationEpisode(1_000_001)], tmp_path / "evaluated")
    assert path.name == f"evaluated_seed1000001_{results[1].outcome}.gif"
    with Image.open(path) as gif:
        assert gif.n_frames == results[1].length + 1  # type: ignore[attr-defined]
        assert gif.size == (480, 480 + video.STRIP)


def test_a_video_runs_in_real_time_and_holds_its_last_frame(tmp_path: Path) -> None:
    frames = [colour(shade) for shade in (0, 100, 200)]
    video.write_gif(tmp_path / "video.gif", frames, "three shades", fps=10)
    with Image.open(tmp_path / "video.gif") as gif:
        durations = []
        for frame in range(gif.n_frames):  # type: ignore[attr-defined]
            gif.seek(frame)
            durations.append(gif.info["duration"])
    assert durations == [100, 100, video.STILL_MS]


def colour(shade: int) -> bytes:
    camera = video.Camera()

    class Painted:
        metadata = {"render_fps": 10}  # noqa: RUF012

        def render(self) -> NDArray[np.uint8]:
            return np.full((40, 60, 3), shade, np.uint8)

    camera(Painted())  # type: ignore[arg-type]
    return camera.frames[0]


@pytest.mark.parametrize("env_id", ["Blind-v0", "Mute-v0"])
def test_an_environment_without_frames_is_refused(env_id: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no frames: "):
        video.film(nano_gym(env_id), Wanderer, [EvaluationEpisode(1_000_000)], tmp_path / "evaluated")
    assert list(tmp_path.iterdir()) == []


def test_robot_sf_has_no_frames() -> None:
    with pytest.raises(UserError, match="env=robot_sf gives no frames"):
        video.film(
            experiment("env=robot_sf", "evaluation.episodes=1"),
            Wanderer,
            [EvaluationEpisode(1_000_000)],
            Path("evaluated"),
        )
