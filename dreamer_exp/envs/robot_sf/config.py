"""The options of env=robot_sf."""

from dataclasses import dataclass, field
from typing import Any

from dreamer_exp.config.schema import EnvConfig, key


@dataclass(frozen=True)
class ScenarioMatrixConfig:
    """A file of Robot SF scenarios, one of which is chosen for each episode."""

    path: str | None = key(None, "the file, relative to here or to Robot SF's checkout; null: the map of the map pool")
    strategy: str = key("random", "how a reset without a scenario chooses one", choices=("random", "cycle"))
    weights: dict[str, float] = key({}, "relative frequency by scenario under random, others 0; empty: equal")
    include: list[str] = key([], "scenarios to use; empty: all")
    exclude: list[str] = key([], "scenarios to leave out")
    switch_per_reset: bool = key(True, "choose at each reset; false: keep the first until a reset has a seed")


@dataclass(frozen=True)
class RobotSFConfig(EnvConfig):
    """Robot SF, the simulator whose contract crowd_nav copies."""

    name: str = key("robot_sf", "the environment", choices=("robot_sf",))
    max_steps: int = key(
        2000,
        "steps after which an episode is truncated (a timeout); the scenario's own limit applies if it is lower",
        low=1,
    )
    dt: float = key(0.1, "seconds per step; the contract has 0.1", above=0, high=1)
    lidar_noise: bool = key(True, "crowd_nav's lidar noise, drawn from the seed of the episode; Robot SF's is off")
    reward_name: str = key(
        "route_completion_v2",
        "Robot SF's reward",
        choices=(
            "route_completion_v2",
            "route_completion_v3",
            "social_quality_v1",
            "simple",
            "punish_action",
            "snqi_step",
            "alyassi",
        ),
    )
    progress: str = key(
        "straight",
        "distance to the goal in the reward: straight, as in Robot SF, or along the waypoints of the route",
        choices=("straight", "route"),
    )
    reward_weights: dict[str, float] = key({}, "weights of the reward terms; others keep Robot SF's values")
    config: dict[str, Any] = key({}, "nested overrides of RobotSimulationConfig, checked with the real class")
    factory_kwargs: dict[str, Any] = key({}, "further arguments of Robot SF's make_robot_env")
    scenario_matrix: ScenarioMatrixConfig = field(default_factory=ScenarioMatrixConfig)
