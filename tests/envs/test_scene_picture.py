"""The picture of a scene: the camera follows the robot, and everything is in its place and colour."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageColor

from dreamer_exp.envs.scene import LidarScan, Scene, SceneState
from dreamer_exp.envs.scene_picture import FLOOR, PEDESTRIAN, ROBOT, ROUTE, SIGHT, SIZE, SOLID, SPAN_M, WALL, draw_scene

LARGE = 100.0  # metres, of a square map
FRAME = np.array([[0, 0, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 0, 0]], np.float64)
SCENE = Scene(LARGE * FRAME, np.array([[90.0, 50.0]]), goal_radius=2.0, robot_radius=1.0, pedestrian_radius=0.4)
STATE = SceneState(0.0, (50.0, 50.0), 0.0, np.zeros((0, 2)))


def places(picture: Image.Image, colour: str) -> np.ndarray:
    """Return x and y from the middle of the picture, in metres, of the pixels of a colour (N, 2)."""
    rows, columns = np.nonzero((np.asarray(picture) == ImageColor.getrgb(colour)).all(-1))
    return (np.stack([columns, SIZE - 1 - rows], -1) - (SIZE - 1) / 2) * SPAN_M / SIZE


def middle(picture: Image.Image, colour: str) -> np.ndarray:
    found = places(picture, colour)
    return (found.min(0) + found.max(0)) / 2


@pytest.mark.parametrize("position", [(50.0, 50.0), (30.0, 61.5)])
def test_the_robot_is_in_the_middle(position: tuple[float, float]) -> None:
    assert middle(draw_scene(SCENE, replace(STATE, position=position)), ROBOT) == pytest.approx((0.0, 0.0), abs=0.1)


def test_at_the_end_of_the_map_the_robot_leaves_the_middle() -> None:
    picture = draw_scene(SCENE, replace(STATE, position=(2.0, 50.0)))
    assert middle(picture, ROBOT) == pytest.approx((2.0 + 1.0 - SPAN_M / 2, 0.0), abs=0.1)
    assert places(picture, WALL)[:, 0].min() == pytest.approx(1.0 - SPAN_M / 2, abs=0.15)


def test_a_small_map_stays_where_it_is() -> None:
    scene = replace(SCENE, walls=10.0 * FRAME, route=np.array([[5.0, 9.0]]))
    for position in ((2.0, 3.0), (8.0, 7.0)):
        where = np.array(position) - 5.0
        assert middle(draw_scene(scene, replace(STATE, position=position)), ROBOT) == pytest.approx(where, abs=0.1)


def test_pedestrians_solids_and_a_near_goal_are_in_their_places() -> None:
    square = np.array([[45.0, 53.0], [47.0, 53.0], [47.0, 55.0], [45.0, 55.0]])
    scene = replace(SCENE, route=np.array([[55.0, 45.0]]), solids=(square,))
    picture = draw_scene(scene, replace(STATE, pedestrians=np.array([[54.0, 52.0]])))
    assert middle(picture, PEDESTRIAN) == pytest.approx((4.0, 2.0), abs=0.1)
    assert middle(picture, SOLID) == pytest.approx((-4.0, 4.0), abs=0.1)
    assert middle(picture, ROUTE) == pytest.approx((5.0, -5.0), abs=0.1)


def test_a_goal_out_of_sight_is_pointed_to() -> None:
    arrow = places(draw_scene(SCENE, STATE), ROUTE)
    assert arrow[:, 0].max() == pytest.approx(SPAN_M / 2 - 0.4, abs=0.1)
    assert np.abs(arrow[:, 1]).max() < 0.6


def test_the_rays_bound_the_seen_area() -> None:
    angles = np.arange(-90, 90) * np.pi / 180  # half a circle, ahead
    state = replace(STATE, lidar=LidarScan(np.full(180, 6.0, np.float32), angles, 10.0))
    seen = places(draw_scene(SCENE, state), SIGHT)
    assert seen.min(0) == pytest.approx((0.0, -6.0), abs=0.2)
    assert seen.max(0) == pytest.approx((6.0, 6.0), abs=0.2)
    assert not len(places(draw_scene(SCENE, state, lidar=False), SIGHT))


@pytest.mark.parametrize("route", [SCENE.route, np.zeros((0, 2))])
def test_without_walls_the_floor_has_no_end_and_the_robot_is_in_the_middle(route: np.ndarray) -> None:
    scene = replace(SCENE, walls=np.zeros((0, 4)), route=route)
    picture = draw_scene(scene, replace(STATE, position=(5.0, 5.0)))
    assert middle(picture, ROBOT) == pytest.approx((0.0, 0.0), abs=0.1)
    assert picture.getpixel((2, 2)) == ImageColor.getrgb(FLOOR)
