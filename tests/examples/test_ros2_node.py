"""The ROS 2 node with a stand-in for rclpy, which this machine lacks: parameters, goals, and the last command."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import CHECKOUT
from tests.policy.saved import save_random

# the little of rclpy that the node uses; it prints each command, and refuses one after the shutdown
STAND_IN = """
import json, os, runpy, signal, sys, time, types
from types import SimpleNamespace as Any_

parameters, handled_by_rclpy, context = json.loads(sys.argv[1]), [], {"ok": False}
subscriptions, steps = {}, json.loads(sys.argv[2])


class Node:
    def __init__(self, name): pass
    def declare_parameter(self, name, default, descriptor=None):
        value = parameters.get(name, default)
        if type(value) is not type(default) and not (descriptor and descriptor.dynamic_typing):
            raise TypeError(f"{name}: another type")
        return Any_(value=value)
    def create_publisher(self, *_): return Any_(publish=publish)
    def create_subscription(self, kind, topic, callback, qos): subscriptions[topic] = callback
    def create_timer(self, period_s, callback): self.timer = callback
    def get_clock(self): return Any_(now=lambda: Any_(to_msg=stamp))
    def get_logger(self): return Any_(warning=print, error=print)
    def destroy_node(self): pass


def publish(twist):
    assert context["ok"], "published after the shutdown"
    print("command", twist.linear.x, twist.angular.z)


def stamp(): return Any_(sec=5, nanosec=0)
def init(signal_handler_options): context["ok"] = True; handled_by_rclpy.append(signal_handler_options)
def try_shutdown(): context["ok"] = False; print("shutdown")
def header(frame): return Any_(frame_id=frame, stamp=stamp())
def pose(x): return Any_(position=Any_(x=x, y=0.0), orientation=Any_(x=0.0, y=0.0, z=0.0, w=1.0))


MESSAGES = {
    "scan": lambda: Any_(header=header("lidar"), angle_min=-3.1416, angle_increment=0.01745, range_min=0.1,
                         range_max=10.0, ranges=[8.0] * 360),
    "odom": lambda: Any_(header=header("map"), pose=Any_(pose=pose(0.0)),
                         twist=Any_(twist=Any_(linear=Any_(x=1.0), angular=Any_(z=0.0)))),
    "goal_pose": lambda: Any_(header=header("map"), pose=pose(20.0)),
}


def spin_once(node, timeout_sec):
    step = steps.pop(0)
    if step == "timer":
        node.timer()
    elif step.startswith("SIG"):
        assert handled_by_rclpy == ["no handlers"]
        os.kill(os.getpid(), getattr(signal, step))
    else:
        subscriptions[step](MESSAGES[step]())


class Twist:
    def __init__(self): self.linear, self.angular = Any_(x=0.0), Any_(z=0.0)


class ParameterDescriptor:
    def __init__(self, dynamic_typing=False): self.dynamic_typing = dynamic_typing


def module(name, **values): sys.modules[name] = types.ModuleType(name); sys.modules[name].__dict__.update(values)


module("rclpy", init=init, spin_once=spin_once, try_shutdown=try_shutdown)
module("rclpy.node", Node=Node)
module("rclpy.qos", qos_profile_sensor_data=None)
module("rclpy.signals", SignalHandlerOptions=Any_(NO="no handlers"))
module("rcl_interfaces.msg", ParameterDescriptor=ParameterDescriptor)
module("geometry_msgs.msg", PoseStamped=None, Twist=Twist)
module("nav_msgs.msg", Odometry=None, Path=None)
module("sensor_msgs.msg", LaserScan=None)
sys.path.insert(0, os.path.dirname(sys.argv[3]))
runpy.run_path(sys.argv[3], run_name="__main__")
"""


def lines(parameters: str, steps: str) -> list[str]:
    """Return what the node and the stand-in print."""
    command = [sys.executable, "-c", STAND_IN, parameters, steps, str(CHECKOUT / "examples/ros2/policy_node.py")]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    save_random(folder)
    return folder


@pytest.mark.parametrize("signal", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
def test_the_last_command_of_an_ended_node_is_zero(policy: Path, signal: str) -> None:
    printed = lines(
        f'{{"policy": "{policy}", "max_speed": 1}}', f'["goal_pose", "odom", "scan", "timer", "timer", "{signal}"]'
    )

    assert [float(line.split()[1]) > 0.5 for line in printed[:2]] == [True, True]  # driving
    assert printed[2:] == ["command 0.0 0.0", "stopped: the node ends", "shutdown"]
