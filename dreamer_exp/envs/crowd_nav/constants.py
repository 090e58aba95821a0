"""Constants of the observation and action contract (source: Robot SF, 40d0854, except where noted)."""

import math

DT = 0.1
"""Seconds in a step."""

MAX_SPEED = 2.0
"""m/s; the robot can't drive backwards, so the least speed is 0."""
MAX_YAW_RATE = 1.0
"""rad/s, in both directions."""

ROBOT_RADIUS = 1.0
PEDESTRIAN_RADIUS = 0.4
PEDESTRIAN_SPEED = 0.5
"""m/s at the start."""
PEDESTRIAN_MAX_SPEED = 1.3 * PEDESTRIAN_SPEED

ROUTE_CLEARANCE = 0.35
"""Metres between the robot's surface and any wall at the start, at the goal and along the route. Our choice."""
START_CLEARANCE = 2.0
"""Metres between the surfaces of the robot and any pedestrian at the start. Our choice."""

WAYPOINT_RADIUS = 2.0
"""Metres between the robot's centre and a waypoint, or the goal, at which it counts as reached."""

LIDAR, SOCNAV_STRUCT = OBSERVATIONS = ("lidar", "socnav_struct")
"""What is observed."""

RAYS = 272
LIDAR_RANGE = 10.0
RAY_OFFSETS_START = -math.pi
"""Ray k points 2 pi k / RAYS counter-clockwise of heading - pi, so ray 136 points straight ahead."""
RAY_MISS_PROBABILITY = 0.005
"""Probability that a noisy ray reads its maximum."""
RAY_SHORT_PROBABILITY = 0.002
"""Probability that a noisy ray that didn't miss is scaled by U(0, 1)."""

STACK = 3
"""Rows of an observation, oldest first."""
DRIVE_STATE_SIZE = 5
DISTANCE_CAP = 50.0
"""Metres at which distances to the waypoint are capped, and by which they are divided."""

NEAR_MISS_CLEARANCE = 0.5
"""Metres between the surfaces of robot and pedestrian below which a step is a near miss."""
PERSONAL_SPACE = 1.0
"""Metres between the surfaces below which the comfort term penalizes. Our choice, not Robot SF's."""
