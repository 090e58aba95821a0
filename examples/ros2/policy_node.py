"""A ROS 2 node: LaserScan, odometry and a goal or a path -> Twist, by a policy (README.md next to this file).

python policy_node.py --ros-args -p policy:=/path/to/policy -r scan:=/scan -r odom:=/odom -r cmd_vel:=/cmd_vel
"""

import math
import signal

import rclpy
from driver import Command, Driver, Odometry, Scan, Settings, yaw_of
from geometry_msgs.msg import PoseStamped, Twist
from nav_msgs.msg import Odometry as OdometryMessage
from nav_msgs.msg import Path
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import LaserScan

from dreamer_exp import load_policy


class PolicyNode(Node):
    """Passes messages to the driver, and its commands to the robot."""

    def __init__(self) -> None:
        """Declare the parameters of `Settings`, load the policy, and start the timer."""
        super().__init__("dreamer_policy")
        path = self.declare_parameter("policy", "").value
        number = ParameterDescriptor(dynamic_typing=True)  # so that -p max_speed:=1 is taken as well as 1.0
        values = {
            name: float(self.declare_parameter(name, getattr(Settings(), name), number).value)
            for name in Settings.__dataclass_fields__
        }
        policy = load_policy(path)
        period_s = policy.info.period_s
        if period_s is not None and not math.isclose(period_s, values["period_s"]):
            raise SystemExit(f"period_s={values['period_s']}: the policy acts every {period_s} s")
        self._driver = Driver(policy.act, policy.reset, Settings(**values))
        self._frame: str | None = None
        self._waiting = None  # a goal that came before the first odometry, whose frame it needs
        self._reason = ""
        self._publisher = self.create_publisher(Twist, "cmd_vel", 1)
        self.create_subscription(LaserScan, "scan", self._on_scan, qos_profile_sensor_data)
        self.create_subscription(OdometryMessage, "odom", self._on_odometry, qos_profile_sensor_data)
        self.create_subscription(PoseStamped, "goal_pose", lambda pose: self._on_poses(pose.header, [pose]), 1)
        self.create_subscription(Path, "path", lambda path: self._on_poses(path.header, path.poses), 1)
        self.create_timer(values["period_s"], self._on_timer)

    def _on_scan(self, scan: LaserScan) -> None:
        fields = (scan.angle_min, scan.angle_increment, scan.range_min, scan.range_max, scan.ranges)
        self._driver.on_scan(Scan(seconds(scan.header.stamp), *fields))

    def _on_odometry(self, odometry: OdometryMessage) -> None:
        pose, twist = odometry.pose.pose, odometry.twist.twist
        turn = pose.orientation
        self._frame = odometry.header.frame_id
        self._driver.on_odometry(
            Odometry(
                seconds(odometry.header.stamp),
                pose.position.x,
                pose.position.y,
                yaw_of(turn.x, turn.y, turn.z, turn.w),
                twist.linear.x,
                twist.angular.z,
            )
        )
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self._on_poses(*waiting)

    def _on_poses(self, header, poses) -> None:
        if self._frame is None:
            self._waiting = (header, poses)
            return
        if header.frame_id != self._frame:
            self.get_logger().error(f"goal in frame {header.frame_id!r}, odometry in {self._frame!r}: make them equal")
            poses = []
        self._driver.on_route([(pose.pose.position.x, pose.pose.position.y) for pose in poses])

    def _on_timer(self) -> None:
        self.publish(self._driver.command(seconds(self.get_clock().now().to_msg())))

    def publish(self, command: Command) -> None:
        """Publish a command; log its reason when it changes."""
        twist = Twist()
        twist.linear.x, twist.angular.z = command.speed, command.yaw_rate
        self._publisher.publish(twist)
        if command.reason != self._reason:
            self._reason = command.reason
            self.get_logger().warning(f"stopped: {command.reason}" if command.reason else "driving")


def seconds(stamp) -> float:
    """Return a builtin_interfaces/Time in seconds."""
    return stamp.sec + 1e-9 * stamp.nanosec


def main() -> None:
    """Run the node until SIGINT or SIGTERM; the last command is zero velocity.

    The handlers of rclpy would shut down before that command is published.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    caught = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: caught.append(number))
    try:
        node = PolicyNode()
        try:
            while not caught:
                rclpy.spin_once(node, timeout_sec=0.1)
        finally:
            node.publish(Command(0.0, 0.0, "the node ends"))
            node.destroy_node()
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
