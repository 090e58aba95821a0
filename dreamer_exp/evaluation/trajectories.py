"""The robot's path in each episode of an evaluation, and a picture of the paths on their maps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from dreamer_exp.envs.episode import SUCCESS, TIMEOUT, EpisodeResult
from dreamer_exp.envs.scene import Scene, position_of, scene_of
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

MAX_PANELS = 12
COLUMNS = 4
# colour of a path, and the marker at its end
STYLES = {
    SUCCESS: (GREEN, "o"),
    "pedestrian_collision": (VERMILION, "X"),
    "wall_collision": (BLUE, "s"),
    "robot_collision": (PURPLE, "P"),
    TIMEOUT: (ORANGE, "D"),
}


@dataclass
class Track:
    """One episode: its scene, and the robot's positions (x, y) in metres, one a step."""

    scene: Scene
    points: list[tuple[float, float]]


class Tracks:
    """A `Watch` that keeps the track of every episode; it keeps nothing without a map."""

    def __init__(self) -> None:
        self.by_episode: dict[EvaluationEpisode, Track] = {}

    def __call__(self, episode: EvaluationEpisode, env: gymnasium.Env[Any, Any]) -> None:
        """Add the robot's position; the first call with an episode starts its track."""
        position = position_of(env)
        if position is None:
            return
        if episode not in self.by_episode:
            scene = scene_of(env)
            assert scene is not None
            self.by_episode[episode] = Track(scene, [])
        self.by_episode[episode].points.append(position)


@dataclass(frozen=True)
class Panel:
    """One map and the episodes on it."""

    scenario: str
    scene: Scene
    episodes: list[tuple[int, Track, EpisodeResult]]  # seed first

    @property
    def failed(self) -> bool:
        """Return whether an episode did not succeed."""
        return any(result.outcome != SUCCESS for _, _, result in self.episodes)


def draw_trajectories(
    path: Path, title: str, tracks: Tracks, episodes: Sequence[EvaluationEpisode], results: list[EpisodeResult]
) -> None:
    """Write the picture: one panel for each map, at most MAX_PANELS, worst scenarios and failures first.

    Args:
        path: the PNG.
        title: its first line.
        tracks: the tracks of all episodes.
        episodes: the episodes, in the order of `results`.
        results: how the episodes ended; they decide the colours.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = panels_of(tracks, episodes, results)
    shown = choose(panels)
    columns = min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    size = max(6.5, 3.1 * columns + 0.6), 3.2 * rows + 1.0  # inches; room for the title of a run with a long name
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis, panel in zip(axes.flat, shown, strict=False):
        _draw_panel(axis, panel)
    for axis in axes.flat[len(shown) :]:
        axis.axis("off")
    figure.suptitle(f"{title}\n{describe_shown(panels, shown)}", fontsize=10)
    _add_legend(figure, results)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def panels_of(tracks: Tracks, episodes: Iterable[EvaluationEpisode], results: Iterable[EpisodeResult]) -> list[Panel]:
    """Return the episodes by scenario and map: episodes on the same map share a panel."""
    panels: dict[tuple[str, bytes], Panel] = {}
    for episode, result in zip(episodes, results, strict=True):
        track, scenario = tracks.by_episode[episode], result.scenario or ""
        key = scenario, track.scene.walls.tobytes()
        panel = panels.setdefault(key, Panel(scenario, track.scene, []))
        panel.episodes.append((episode.seed, track, result))
    return list(panels.values())


def choose(panels: list[Panel]) -> list[Panel]:
    """Return at most MAX_PANELS panels: scenarios in turn, the worst first, and of each the failures first.

    The panels of a scenario are next to each other.
    """
    by_scenario: dict[str, list[Panel]] = {}
    for panel in sorted(panels, key=lambda panel: not panel.failed):
        by_scenario.setdefault(panel.scenario, []).append(panel)
    worst_first = sorted(by_scenario, key=lambda name: (success_rate(by_scenario[name]), name))
    rounds = zip_longest(*(by_scenario[name] for name in worst_first))
    in_turn = [panel for panel in chain(*rounds) if panel is not None]
    return sorted(in_turn[:MAX_PANELS], key=lambda panel: worst_first.index(panel.scenario))


def success_rate(panels: list[Panel]) -> float:
    """Return the share of successes in the episodes of these panels."""
    outcomes = [result.outcome for panel in panels for _, _, result in panel.episodes]
    return outcomes.count(SUCCESS) / len(outcomes)


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

    axis.add_collection(LineCollection(list(panel.scene.walls.reshape(-1, 2, 2)), colors="#2C3038", linewidths=1.5))
    for _, track, result in panel.episodes:
        colour, mark = STYLES[str(result.outcome)]
        points = np.array(track.points)
        planned = np.vstack([points[:1], track.scene.route])
        axis.plot(*planned.T, color=GREY, linestyle=":", linewidth=1)
        axis.plot(*points.T, color=colour, linewidth=1.4, alpha=0.85)
        axis.plot(*points[0], "o", markerfacecolor="white", markeredgecolor="black", markersize=6)
        axis.plot(*track.scene.route[-1], "*", color="black", markersize=9)
        axis.plot(*points[-1], mark, color=colour, markeredgecolor="white", markersize=7)
    axis.spines[:].set_visible(False)
    axis.set_aspect("equal")
    axis.margins(0.04)
    axis.tick_params(labelsize=7)
    axis.set_title(caption(panel), fontsize=8)


def caption(panel: Panel) -> str:
    """Return the scenario, and the seed and outcome of its episode or the number of episodes."""
    (seed, _, result), *others = panel.episodes
    outcome = str(result.outcome).replace("_", " ")
    return f"{panel.scenario}\n" + (count_episodes(len(others) + 1) if others else f"seed {seed}: {outcome}")


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
            label = f"{outcome.replace('_', ' ')}: {number}"
            keys.append(Line2D([], [], color=colour, marker=mark, markeredgecolor="white", label=label))
    figure.legend(handles=keys, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
