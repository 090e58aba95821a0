"""The core of the ROS 2 node: rays, drive_state, velocities, and every reason to stop."""

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamer_exp.envs.crowd_nav.env import CrowdNavEnv
from dreamer_exp.policy.contract import PolicyContract
from tests.paths import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "examples" / "ros2"))
from driver import Command, Driver, Odometry, Scan, Settings, drive_state, rays, yaw_of

RECORDED = json.loads((Path(__file__).parent / "recorded_messages.json").read_text())
SECTOR = math.tau / 272


class Recorder:
    """A policy that returns given accelerations and records what it saw."""

    def __init__(self, action: Any = (1.0, 0.5)) -> None:
        self.action, self.seen, self.resets = action, [], 0
        self.seen: list[Mapping[str, NDArray[np.float32]]]

    def act(self, observation: Mapping[str, NDArray[np.float32]]) -> Any:
        self.seen.append(observation)
        if isinstance(self.action, Exception):
            raise self.action
        return np.array(self.action)

    def reset(self) -> None:
        self.resets += 1


def scan_of(ranges: Any, stamp_s: float = 0.0, angle_min: float = -math.pi) -> Scan:
    return Scan(stamp_s, angle_min, math.tau / len(ranges), 0.1, 10.0, list(ranges))


def odometry_of(**changes: float) -> Odometry:
    return Odometry(**{"stamp_s": 0.0, "x": 0.0, "y": 0.0, "yaw": 0.0, "speed": 1.0, "yaw_rate": 0.0, **changes})


def driver_of(policy: Recorder, **changes: Any) -> Driver:
    """Return a driver with fresh messages and a goal 20 m ahead."""
    made = Driver(policy.act, policy.reset, Settings(**changes))
    made.on_scan(scan_of(np.full(360, 8.0)))
    made.on_odometry(odometry_of())
    made.on_route([(20.0, 0.0)])
    return made


def test_recorded_messages_give_the_observations_of_the_environment() -> None:
    settings = Settings()
    for message in RECORDED:
        scan, odometry = Scan(*message["scan"]), Odometry(*message["odometry"])
        assert np.allclose(drive_state(odometry, message["route"]), message["drive_state"], atol=1e-5)
        assert np.allclose(rays(scan, settings), message["rays"], atol=1e-3)


def test_observations_fit_the_contract_of_crowd_nav() -> None:
    from dreamer_exp.config.schema import ObsContractConfig
    from dreamer_exp.envs.contract import build_contract

    env, policy = CrowdNavEnv(), Recorder()
    built = build_contract(env.observation_space, env.action_space, ObsContractConfig("own", ["drive_state", "rays"]))
    driver_of(policy).command(0.0)

    assert PolicyContract(built.to_dict()).vectors(policy.seen[0], None).shape == (1, 831)


@pytest.mark.parametrize("readings", [90, 272, 360, 1440])
def test_a_wall_all_around_is_seen_at_every_bearing_with_any_lidar(readings: int) -> None:
    assert np.allclose(rays(scan_of(np.full(readings, 4.0)), Settings()), 0.4)


@pytest.mark.parametrize(("degrees", "ray"), [(0, 136), (90, 204), (-90, 68), (179.9, 0)])
def test_an_obstacle_is_seen_at_its_bearing(degrees: float, ray: int) -> None:
    ranges = np.full(720, np.inf)
    ranges[round((degrees + 180) * 2) % 720] = 3.0

    assert np.argmin(rays(scan_of(ranges), Settings())) == ray


def test_a_lidar_in_front_sees_from_the_robots_centre() -> None:
    ranges = np.full(720, np.inf)
    ranges[360] = 3.0

    assert rays(scan_of(ranges), Settings(lidar_x=0.5))[136] == pytest.approx(0.35)


def test_a_turned_lidar_is_turned_back() -> None:
    ranges = np.full(720, np.inf)
    ranges[360] = 3.0

    assert np.argmin(rays(scan_of(ranges), Settings(lidar_yaw=math.pi / 2))) == 204


def test_bearings_outside_of_the_scan_see_nothing() -> None:
    front = Scan(0.0, -math.pi / 2, math.pi / 359, 0.1, 10.0, [2.0] * 360)
    found = rays(front, Settings())

    assert np.allclose(found[69:204], 0.2)
    assert np.allclose(found[:66], 1.0)
    assert np.allclose(found[208:], 1.0)


def test_an_obstacle_too_near_to_measure_is_near() -> None:
    assert rays(scan_of([-np.inf] * 360), Settings()).max() == pytest.approx(0.01)


def test_the_state_of_drive_is_scaled_and_bounded() -> None:
    state = drive_state(odometry_of(speed=3.0, yaw_rate=-2.0, yaw=math.pi / 2), [(0.0, -100.0), (10.0, -100.0)])

    assert np.allclose(np.abs(state), [1.0, 1.0, 1.0, 1.0, 0.5])
    assert state[1] == -1.0


def test_the_first_observation_fills_the_stack_and_later_ones_follow() -> None:
    policy = Recorder()
    driver = driver_of(policy)
    driver.command(0.0)
    driver.on_odometry(odometry_of(speed=1.5))
    driver.command(0.1)

    assert policy.seen[0]["drive_state"][:, 0].tolist() == [0.5, 0.5, 0.5]
    assert policy.seen[1]["drive_state"][:, 0].tolist() == [0.5, 0.5, 0.75]


def test_accelerations_are_integrated_from_the_odometry_then_from_the_command() -> None:
    driver = driver_of(Recorder((1.0, -1.0)))

    assert driver.command(0.0)[:2] == pytest.approx((1.1, -0.1))
    assert driver.command(0.1)[:2] == pytest.approx((1.2, -0.2))


@pytest.mark.parametrize(("action", "end"), [((5.0, 5.0), (0.6, 0.4)), ((-5.0, -5.0), (0.0, -0.4))])
def test_velocities_stay_within_the_limits(action: tuple[float, float], end: tuple[float, float]) -> None:
    driver = driver_of(Recorder(action), max_speed=0.6, max_yaw_rate=0.4, max_age_s=10.0)
    for step in range(30):
        command = driver.command(step / 10)

    assert command[:2] == pytest.approx(end)


def test_limits_beyond_those_of_the_training_are_not_used() -> None:
    driver = driver_of(Recorder((1.0, 1.0)), max_speed=9.0, max_yaw_rate=9.0, max_age_s=10.0)
    for step in range(50):
        command = driver.command(step / 10)

    assert command[:2] == pytest.approx((2.0, 1.0))


NAN = math.nan
STOPS: dict[str, tuple[dict[str, Any], str]] = {
    "stale scan": ({"scan": scan_of(np.full(360, 8.0), stamp_s=-1.0)}, "the scan is 1.00 s old; allowed: 0.25 s"),
    "stale odometry": ({"odometry": odometry_of(stamp_s=-0.5)}, "the odometry is 0.50 s old; allowed: 0.25 s"),
    "stamp ahead": ({"odometry": odometry_of(stamp_s=9.0)}, "the odometry is -9.00 s old; allowed: 0.25 s"),
    "nan odometry": ({"odometry": odometry_of(yaw=NAN)}, "the odometry is not finite: (0.0, 0.0, 0.0, nan, 1.0, 0.0)"),
    "nan scan": ({"scan": scan_of([NAN] * 200 + [5.0] * 160)}, "56% of the scan's readings are missing; allowed: 30%"),
    "empty scan": ({"scan": Scan(0.0, 0.0, 0.1, 0.1, 10.0, [])}, "the scan has 0 readings from angle 0.0"),
    "no increment": ({"scan": Scan(0.0, 0.0, 0.0, 0.1, 10.0, [1.0])}, "the scan has angle_increment=0.0"),
    "gap": ({"scan": scan_of([NAN] * 40 + [5.0] * 320)}, "40 degrees of the scan are missing; allowed: 30"),
    "gap behind": (
        {"scan": scan_of([NAN] * 20 + [5.0] * 320 + [NAN] * 20)},
        "40 degrees of the scan are missing; allowed: 30",
    ),
    "no range": ({"scan": Scan(0.0, 0.0, 0.1, 0.0, 0.0, [5.0] * 60)}, "the scan has range_min=0.0 and range_max=0.0"),
    "odd range": ({"scan": Scan(0.0, 0.0, 0.1, 2.0, 1.0, [5.0] * 60)}, "the scan has range_min=2.0 and range_max=1.0"),
    "nan range": ({"scan": Scan(0.0, 0.0, 0.1, 0.1, NAN, [5.0] * 60)}, "the scan has range_min=0.1 and range_max=nan"),
    "nan goal": ({"route": [(NAN, 0.0)]}, "the route is not finite: [(nan, 0.0)]"),
    "no goal": ({"route": []}, "no goal"),
    "goal reached": ({"route": [(0.3, 0.0)]}, "the goal is reached"),
    "nan action": ({"action": (NAN, 0.0)}, "the policy returned [nan  0.]"),
    "odd action": ({"action": (0.0, 0.0, 0.0)}, "the policy returned [0. 0. 0.]"),
    "failure": ({"action": RuntimeError("no memory")}, "RuntimeError: no memory"),
}


@pytest.mark.parametrize("case", STOPS)
def test_the_robot_stops_within_one_period_with_a_reason(case: str) -> None:
    changes, reason = STOPS[case]
    policy = Recorder()
    driver = driver_of(policy)
    assert driver.command(0.0).speed > 1.0

    policy.action = changes.get("action", policy.action)
    if "scan" in changes:
        driver.on_scan(changes["scan"])
    if "odometry" in changes:
        driver.on_odometry(changes["odometry"])
    if "route" in changes:
        driver.on_route(changes["route"])
    stamp = 0.0

    assert driver.command(stamp) == Command(0.0, 0.0, reason)


def test_nothing_moves_before_the_first_messages() -> None:
    policy = Recorder()
    driver = Driver(policy.act, policy.reset)

    assert driver.command(0.0) == Command(0.0, 0.0, "no scan yet")


def test_after_a_stop_the_policy_begins_again_from_the_measured_speed() -> None:
    policy = Recorder((1.0, 0.0))
    driver = driver_of(policy)
    driver.command(0.0)
    driver.command(5.0)
    resets = policy.resets
    driver.on_scan(scan_of(np.full(360, 8.0), stamp_s=5.0))
    driver.on_odometry(odometry_of(stamp_s=5.0, speed=0.2))

    assert driver.command(5.0).speed == pytest.approx(0.3)
    assert policy.seen[-1]["drive_state"][:, 0] == pytest.approx([0.1, 0.1, 0.1])
    assert resets > 1


def test_missing_readings_in_small_gaps_are_allowed() -> None:
    rays(scan_of(([NAN] + [5.0] * 9) * 36), Settings())
    rays(scan_of([NAN] * 20 + [5.0] * 332 + [NAN] * 8), Settings())
    rays(Scan(0.0, -1.0, 0.02, 0.1, 10.0, [NAN] * 15 + [5.0] * 70 + [NAN] * 15), Settings())


def test_a_new_route_to_the_same_goal_keeps_the_state() -> None:
    policy = Recorder()
    driver = driver_of(policy)
    driver.command(0.0)
    resets = policy.resets
    driver.on_route([(5.0, 1.0), (20.0, 0.0)])
    driver.command(0.1)
    assert policy.resets == resets
    assert policy.seen[-1]["drive_state"][-1, 2] == pytest.approx(math.hypot(5.0, 1.0) / 50.0)

    driver.on_route([(5.0, 1.0), (20.0, 1.0)])
    assert policy.resets == resets + 1


def test_a_reached_waypoint_gives_way_to_the_next() -> None:
    policy = Recorder()
    driver = driver_of(policy)
    driver.on_route([(1.0, 0.0), (0.0, 30.0)])
    driver.command(0.0)

    assert policy.seen[0]["drive_state"][0, 2] == pytest.approx(0.6)


def test_the_yaw_of_a_quaternion() -> None:
    assert yaw_of(0.0, 0.0, math.sin(0.4), math.cos(0.4)) == pytest.approx(0.8)
