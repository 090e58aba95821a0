"""The robot's path in each episode of an evaluation, and a picture of the paths on their maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dreamer_exp.envs.episode import FAILURE, FAULT, SUCCESS, TIMEOUT, EpisodeResult
from dreamer_exp.envs.scene import Scene, position_of, scene_of
from dreamer_exp.evaluation.metrics import rates_by_scenario
from dreamer_exp.evaluation.rollout import Finished
from dreamer_exp.formatting import printable
from dreamer_exp.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, WALL
from dreamer_exp.rundir.atomic import save_figure

MAX_PANELS = 12
COLUMNS = 4
# colour of a path, and the marker at its end
STYLES = {
    SUCCESS: (GREEN, "o"),
    "pedestrian_collision": (VERMILION, "X"),
    "wall_collision": (BLUE, "s"),
    "robot_collision": (PURPLE, "P"),
    TIMEOUT: (ORANGE, "D"),
    FAILURE: (GREY, "v"),
    FAULT: (GREY, "x"),
    None: (GREY, "."),  # the environment reports no outcomes
}


@dataclass
class Track:
    """A `Watch` that keeps an episode's scene, None without a map, and the robot's positions (x, y) in metres."""

    scene: Scene | None = None
    points: list[tuple[float, float]] = field(default_factory=list)

    def __call__(self, env: gymnasium.Env[Any, Any]) -> None:
        """Add the robot's position; the first call keeps the scene."""
        position = position_of(env)
        if position is None:
            return
        if self.scene is None:
            self.scene = scene_of(env)
        self.points.append(position)

    def to_dict(self) -> dict[str, Any]:
        """Return the track as JSON values; of the scene, what is drawn."""
        scene = self.scene and {"walls": self.scene.walls.tolist(), "route": self.scene.route.tolist()}
        return {"scene": scene, "points": [(float(x), float(y)) for x, y in self.points]}

    @classmethod
    def from_dict(cls, tree: dict[str, Any]) -> "Track":
        """Return the track of `to_dict`."""
        scene = tree["scene"]
        if scene is not None:
            walls, route = np.array(scene["walls"], float), np.array(scene["route"], float)
            scene = Scene(walls.reshape(-1, 4), route.reshape(-1, 2))
        return cls(scene, [(float(x), float(y)) for x, y in tree["points"]])


@dataclass(frozen=True)
class Panel:
    """One map and the episodes on it."""

    scenario: str
    scene: Scene
    episodes: list[Finished]  # whose recordings are tracks

    @property
    def failed(self) -> bool:
        """Return whether an episode did not succeed."""
        return any(finished.result.outcome != SUCCESS for finished in self.episodes)


def draw_trajectories(path: Path, title: str, episodes: Sequence[Finished]) -> None:
    """Write the picture: one panel for each map, at most MAX_PANELS, worst scenarios and failures first.

    Args:
        path: the PNG.
        title: its first line.
        episodes: their recordings are tracks, their outcomes decide the colours.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = panels_of(episodes)
    shown = choose(panels)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = max(6.5, 3.1 * columns + 0.6), 3.2 * rows + 1.0  # inches; room for the title of a run with a long name
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, panel in zip(axes.flat, shown, strict=False):
        _draw_panel(axis, panel)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    figure.suptitle(f"{printable(title)}\n{describe_shown(panels, shown)}", fontsize=10, parse_math=False)
    _add_legend(figure, [finished.result for finished in episodes])
    save_figure(path, figure, 120)
    plt.close(figure)


def panels_of(episodes: Iterable[Finished]) -> list[Panel]:
    """Return the episodes by scenario and map: episodes on the same map share a panel."""
    panels: dict[tuple[str, bytes], Panel] = {}
    for finished in episodes:
        scene, scenario = finished.recording.scene, finished.result.scenario or ""
        key = scenario, scene.walls.tobytes()
        panels.setdefault(key, Panel(scenario, scene, [])).episodes.append(finished)
    return list(panels.values())


def choose(panels: list[Panel]) -> list[Panel]:
    """Return at most MAX_PANELS panels: scenarios in turn, the worst first, and of each the failures first.

    The panels of a scenario are next to each other.
    """
    by_scenario: dict[str, list[Panel]] = {}
    for panel in sorted(panels, key=lambda panel: not panel.failed):
        by_scenario.setdefault(panel.scenario, []).append(panel)
    rates = rates_by_scenario([finished.result for panel in panels for finished in panel.episodes])
    worst_first = list(dict.fromkeys([*rates, *by_scenario]))  # those without outcomes last
    rounds = zip_longest(*(by_scenario[name] for name in worst_first))
    in_turn = [panel for panel in chain(*rounds) if panel is not None]
    return sorted(in_turn[:MAX_PANELS], key=lambda panel: worst_first.index(panel.scenario))


def describe_shown(panels: list[Panel], shown: list[Panel]) -> str:
    """Return how many episodes are shown, how they were chosen, and how many are left out."""
    everything, drawn = (sum(len(panel.episodes) for panel in some) for some in (panels, shown))
    if drawn == everything:
        return f"{count_episodes(everything)}, in metres"
    left_out = f"{everything - drawn} left out"
    return f"{drawn} of {everything} episodes, in metres: worst scenarios first, failures first; {left_out}"


def count_episodes(count: int) -> str:
    """Return `1 episode` or `<count> episodes`."""
    return "1 episode" if count == 1 else f"{count} episodes"


def _draw_panel(axis: Any, panel: Panel) -> None:
    from matplotlib.collections import LineCollection

    axis.add_collection(LineCollection(list(panel.scene.walls.reshape(-1, 2, 2)), colors=WALL, linewidths=1.5))
    for finished in panel.episodes:
        colour, mark = STYLES[finished.result.outcome]
        route, points = finished.recording.scene.route, np.array(finished.recording.points)
        planned = np.vstack([points[:1], route])
        axis.plot(*planned.T, color=GREY, linestyle=":", linewidth=1)
        axis.plot(*points.T, color=colour, linewidth=1.4, alpha=0.85)
        axis.plot(*points[0], "o", markerfacecolor="white", markeredgecolor="black", markersize=6)
        axis.plot(*route[-1], "*", color="black", markersize=9)
        axis.plot(*points[-1], mark, color=colour, markeredgecolor="white", markersize=7)
    axis.spines[:].set_visible(False)
    axis.set_aspect("equal")
    axis.margins(0.04)
    axis.tick_params(labelsize=7)
    axis.set_title(caption(panel), fontsize=8, parse_math=False)


def caption(panel: Panel) -> str:
    """Return the scenario, and the seed and outcome of its episode or the number of episodes."""
    first, *others = panel.episodes
    outcome = str(first.result.outcome).replace("_", " ")
    return f"{panel.scenario}\n" + (
        count_episodes(len(others) + 1) if others else f"seed {first.episode.seed}: {outcome}"
    )


def _add_legend(figure: Any, results: list[EpisodeResult]) -> None:
    """Add a legend of start, goal, route, and each outcome with the number of its episodes."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], marker="o", color="none", markerfacecolor="white", markeredgecolor="black", label="start"),
        Line2D([], [], marker="*", color="none", markerfacecolor="black", markeredgecolor="black", label="goal"),
        Line2D([], [], color=GREY, linestyle=":", label="route"),
    ]
    for outcome, (colour, mark) in STYLES.items():
        if number := sum(result.outcome == outcome for result in results):
            label = f"{str(outcome).replace('_', ' ')}: {number}"
            keys.append(Line2D([], [], color=colour, marker=mark, markeredgecolor="white", label=label))
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
