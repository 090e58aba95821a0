"""Robot SF's published figures for its canonical surface (48 scenarios x 30 seeds, horizon 600).

Source: ll7/robot_sf_ll7 at 40d0854, the S30/H600 benchmark data of August 2026. Missing figures are not published.
"""

from typing import NamedTuple


class Published(NamedTuple):
    """Rates and means of a planner over 1,440 episodes."""

    planner: str
    success: float
    collision: float
    pedestrian: float | None = None
    obstacle: float | None = None
    near_misses: float | None = None
    classic: float | None = None
    francis: float | None = None


PUBLISHED = (
    Published("hybrid_rule_v3_fast_progress_static_escape_continuous", 0.772, 0.149, 0.080, 0.069, 21.0, 0.700, 0.837),
    Published("hybrid_rule_v3_fast_progress_static_escape", 0.760, 0.206, 0.106, 0.100, 20.3, 0.657, 0.855),
    Published("scenario_adaptive_hybrid_orca_v1", 0.754, 0.215, 0.113, 0.10, 19.4, 0.652, 0.847),
    Published("ppo (sees tracked agents and predicted paths)", 0.716, 0.269, 0.065, 0.205, 5.4, 0.559, 0.860),
    Published("orca", 0.681, 0.283, 0.172, 0.111, 12.7, 0.628, 0.729),
    Published("prediction_planner", 0.499, 0.498),
    Published("goal", 0.397, 0.603),
    Published("sacadrl", 0.317, 0.682),
    Published("social_force", 0.014, 0.494),
)
