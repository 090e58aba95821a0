"""env=robot_sf. Importing this module imports nothing of Robot SF."""

from collections.abc import Mapping, Sequence

from dreamer_exp.envs.crowd_nav.baselines import STRAIGHT_TO_GOAL
from dreamer_exp.envs.crowd_nav.constants import LIDAR_RANGE
from dreamer_exp.envs.robot_sf import check, package
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.envs.robot_sf.planners import PLANNERS
from dreamer_exp.envs.robot_sf.scenarios import load_scenarios
from dreamer_exp.envs.spec import EnvSpec, RawEnv, Unit


def make(config: RobotSFConfig, render_mode: str | None) -> RawEnv:
    """Return the environment."""
    from dreamer_exp.envs.robot_sf.env import RobotSFEnv

    return RobotSFEnv(config, render_mode)


def require(config: RobotSFConfig) -> None:
    """Raise UserError unless Robot SF can be imported."""
    package.load()


def scenarios(config: RobotSFConfig) -> Sequence[str] | None:
    """Return the names of the matrix's scenarios, or None for the map pool; raise UserError without the package."""
    if config.scenario_matrix.path is None:
        return None
    return [scenario.name for scenario in load_scenarios(config) if scenario.name is not None]


def drawn(config: RobotSFConfig) -> Mapping[str, float]:
    """Return the scenarios of the matrix with their weights, where each reset draws one."""
    matrix = config.scenario_matrix
    if matrix.path is None or matrix.strategy != "random" or not matrix.switch_per_reset:
        return {}
    return {scenario.name: scenario.weight for scenario in load_scenarios(config) if scenario.name is not None}


def units(config: RobotSFConfig) -> Mapping[str, Unit]:
    """Return the units: rays in metres, up to the lidar's configured range."""
    lidar = config.config.get("lidar_config", {})
    return {"rays": Unit("m", float(lidar.get("max_scan_dist", LIDAR_RANGE))), "drive_state": Unit("normalised")}


SPEC = EnvSpec(
    name="robot_sf",
    config=RobotSFConfig,
    make=make,
    spaces=check.spaces_of,
    baselines={"straight_to_goal": STRAIGHT_TO_GOAL, **PLANNERS},
    require=require,
    unchecked=check.unchecked,
    scenarios=scenarios,
    selectable=lambda config: scenarios(config) or (),
    drawn=drawn,
    units=units,
    step_s=lambda config: config.dt,
    diagnose=package.diagnose,
)
