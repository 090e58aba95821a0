"""Frames of a film: outcome, panels of different length, and caption."""

import numpy as np
from PIL import Image, ImageColor, ImageFont

from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.envs.scene import LidarScan, Scene, SceneState
from dreamer_exp.evaluation.video.camera import Camera
from dreamer_exp.evaluation.video.frames import STRIP, Film, Panel, fitted
from dreamer_exp.palette import GREEN, VERMILION

CORNER = (2, 2)


def camera(steps: int, step_s: float = 0.1) -> Camera:
    """Return a recording of a robot that drives to the right."""
    made = Camera()
    made.scene = Scene(np.zeros((0, 4)), np.array([[9.0, 0.0]]), 2.0, 1.0)
    scan = LidarScan(np.full(8, 5.0, np.float32), np.arange(8) * np.pi / 4, 10.0)
    made.states = [
        SceneState(step * step_s, (step * step_s, 0.0), 0.0, np.zeros((0, 2)), lidar=scan) for step in range(steps + 1)
    ]
    return made


def panel(steps: int, outcome: str, step_s: float = 0.1) -> Panel:
    return Panel("policy", camera(steps, step_s), EpisodeResult(0.0, steps, outcome=outcome))


def colour_at(frame: Image.Image, place: tuple[int, int]) -> object:
    return frame.getpixel(place)


def test_the_outcome_stands_in_the_last_frame_only() -> None:
    frames = list(Film([panel(3, "success")], ""))
    shown = [colour_at(frame, CORNER) == ImageColor.getrgb(GREEN) for frame in frames]
    assert shown == [False, False, False, True]


def test_the_shorter_episode_keeps_its_outcome_until_the_other_ends() -> None:
    film = Film([panel(1, "pedestrian_collision"), panel(4, "success", 0.2)], "")
    frames = list(film)
    left, right = (2, STRIP + 2), (486, STRIP + 2)
    assert film.frame_s == 0.1
    assert [colour_at(frame, left) == ImageColor.getrgb(VERMILION) for frame in frames] == [False, *[True] * 8]
    assert [colour_at(frame, right) == ImageColor.getrgb(GREEN) for frame in frames] == [*[False] * 8, True]


def test_an_episode_of_one_picture_is_a_film_of_one_frame() -> None:
    assert len(list(Film([panel(0, "timeout")], ""))) == 1


def test_the_lidar_is_left_out_on_request() -> None:
    first = [Film([panel(1, "success")], "", lidar)[0] for lidar in (True, False)]
    number_of_colours = [len(np.unique(np.asarray(frame).reshape(-1, 3), axis=0)) for frame in first]
    assert number_of_colours[0] > number_of_colours[1]


def test_a_long_caption_is_cut_at_its_beginning() -> None:
    font = ImageFont.load_default(14)
    cut = fitted("a_very_long_scenario_name, seed 17", 120, font)
    assert cut.startswith("…")
    assert cut.endswith("seed 17")
    assert font.getlength(cut) <= 120
