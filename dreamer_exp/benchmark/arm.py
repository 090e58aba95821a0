"""An arm of the benchmark: a planner with the settings under which Robot SF's campaigns run it."""

from dataclasses import dataclass
from typing import Any

from dreamer_exp.benchmark.planner import Entrant
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.envs.robot_sf.map_runner import NAME, OBSERVATION_LEVEL, OBSERVATION_MODE, TRACK, TRACK_SCHEMA
from dreamer_exp.envs.robot_sf.planners import PLANNERS

BASELINES = ("goal", "orca")


@dataclass(frozen=True)
class Arm:
    """A planner: a trained policy, or one of Robot SF's by name."""

    name: str
    entrant: Entrant | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `run_map_batch`."""
        if self.entrant is None:
            return {
                "algo": self.name,
                "benchmark_profile": "baseline-safe",
                "socnav_missing_prereq_policy": "fail-fast",
            }
        return {
            "algo": NAME,
            "benchmark_profile": "experimental",
            "observation_mode": OBSERVATION_MODE,
            "observation_level": OBSERVATION_LEVEL,
            "benchmark_track": TRACK,
            "track_schema_version": TRACK_SCHEMA,
        }


def baseline_arms(names: list[str]) -> list[Arm]:
    """Return the arms of Robot SF's planners.

    Raises:
        UserError: one is unknown, or cannot run here.
    """
    for name in names:
        if name not in BASELINES:
            raise UserError(f"baseline={name} is not one of: {', '.join(BASELINES)}.{nearest(name, BASELINES)}")
        if lack := PLANNERS[name].lacks():
            raise UserError(f"baseline={name} {lack}; or leave it out.")
    return [Arm(name) for name in dict.fromkeys(names)]
