"""The robot's motion, compared with values computed by hand."""

import math

import pytest

from dreamer_exp.envs.crowd_nav.kinematics import RobotState, accelerate, integrate, wrap_angle


def test_speeds_change_by_acceleration_times_a_tenth_of_a_second():
    assert accelerate(RobotState(0, 0, 0, 1.0, 0.2), 0.5, -1.0) == pytest.approx((1.05, 0.1))


def test_speed_stays_between_zero_and_two():
    assert accelerate(RobotState(0, 0, 0, 1.95, 0.0), 1.0, 0.0)[0] == 2.0
    assert accelerate(RobotState(0, 0, 0, 0.05, 0.0), -1.0, 0.0)[0] == 0.0


def test_yaw_rate_stays_within_one():
    assert accelerate(RobotState(0, 0, 0, 0.0, 0.95), 0.0, 1.0)[1] == 1.0
    assert accelerate(RobotState(0, 0, 0, 0.0, -0.95), 0.0, -1.0)[1] == -1.0


def test_accelerations_are_clipped_to_one():
    assert accelerate(RobotState(0, 0, 0), 7.0, -7.0) == accelerate(RobotState(0, 0, 0), 1.0, -1.0)


def test_first_step_at_full_acceleration_moves_half_a_centimetre():
    assert integrate(RobotState(0, 0, 0), 0.1, 0.0) == pytest.approx((0.005, 0.0, 0.0, 0.1, 0.0))


def test_robot_moves_with_the_mean_speed_along_the_mean_heading():
    moved = integrate(RobotState(1.0, 2.0, 0.3, 1.0, 0.4), 1.1, 0.5)
    assert moved.heading == pytest.approx(0.3 + 0.045)
    assert moved.x == pytest.approx(1.0 + 0.105 * math.cos(0.3225))
    assert moved.y == pytest.approx(2.0 + 0.105 * math.sin(0.3225))
    assert moved[3:] == (1.1, 0.5)


def test_constant_yaw_rate_closes_a_circle():
    robot = RobotState(0, 0, 0, 1.0, 0.5)
    steps = round(math.tau / 0.05)
    for _ in range(steps):
        robot = integrate(robot, 1.0, 0.5)
    assert math.hypot(robot.x, robot.y) < 0.05
    assert max(abs(wrap_angle(robot.heading)), 0) < 0.05
