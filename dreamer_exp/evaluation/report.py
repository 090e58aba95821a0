"""An evaluation of a trained policy: a table, metrics as JSON, a picture of the paths, and videos."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation import video
from dreamer_exp.evaluation.baselines import evaluate_baseline
from dreamer_exp.evaluation.episodes import EpisodeList, EvaluationEpisode, episode_list
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.rollout import MakePolicy, evaluate_policy
from dreamer_exp.evaluation.scenarios import draw_scenarios, scenarios_csv
from dreamer_exp.evaluation.trajectories import Tracks, count_episodes, draw_trajectories
from dreamer_exp.monitoring.scenario_table import scenario_table
from dreamer_exp.monitoring.summary import evaluation_table
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.metric_names import LEARNER


@dataclass(frozen=True)
class EvaluationReport:
    """Report of one policy and the baselines in an experiment's evaluation episodes.

    Attributes:
        experiment: gives the env, the contract, the episodes and the baselines.
        policy: builds the policy.
        title: names the policy and the environment.
        stem: the path that every file's name begins with.
        console: where to print.
    """

    experiment: Experiment
    policy: MakePolicy
    title: str
    stem: Path
    console: Console

    def evaluate(self, about: dict[str, Any], env_steps: int, updates: int, videos: int) -> None:
        """Print the tables, then write `<stem>.json`, pictures and videos.

        The files are `<stem>.json`, `<stem>_scenarios.csv` and `.png`, `<stem>_paths.png` and
        `<stem>_seed<seed>_<outcome>.gif`.

        Args:
            about: entries of the JSON next to the evaluations.
            env_steps: steps that the policy was trained on.
            updates: updates that trained it.
            videos: number of episodes to film, failures first.
        """
        self.print_line(self.title)
        driven, tracks = episode_list(self.experiment), Tracks()
        with self.console.status(f"{count_episodes(len(driven.episodes))} of the policy"):
            results = evaluate_policy(self.experiment, self.policy, watch=tracks)
        rows = [evaluation_row(LEARNER, env_steps, updates, results, driven), *self.evaluate_baselines(driven)]
        self.console.print(evaluation_table([(row["policy"], row) for row in rows]))
        metrics = self.stem.with_name(f"{self.stem.name}.json")
        write_json(metrics, {**about, "evaluations": rows})
        self.print_line(f"Metrics: {metrics}")
        self.report_scenarios(rows)
        self.draw_paths(tracks, driven, results)
        if videos:
            self.write_videos(video.choose(driven.episodes, results, videos))

    def report_scenarios(self, rows: list[dict[str, Any]]) -> None:
        """Print the policy's worst scenarios; write the rates of all scenarios as CSV and the policy's as a picture."""
        table = scenario_table(rows[0])
        if table is None:
            return
        self.console.print(table)
        csv, picture = (self.stem.with_name(f"{self.stem.name}_scenarios.{ending}") for ending in ("csv", "png"))
        write_text(csv, scenarios_csv(rows))
        draw_scenarios(picture, self.title, rows[0]["by_scenario"])
        self.print_line(f"Scenarios: {csv}")
        self.print_line(f"Scenarios: {picture}")

    def evaluate_baselines(self, driven: EpisodeList) -> list[dict[str, Any]]:
        """Return the rows of the requested baselines that the environment supports."""
        possible, impossible = split_applicable(self.experiment.evaluation.baselines, self.experiment.env)
        if impossible:
            self.print_line(f"not for env={self.experiment.env.name}: baseline {', '.join(impossible)}")
        rows = []
        for name in possible:
            with self.console.status(f"{count_episodes(len(driven.episodes))} of the baseline {name}"):
                results = evaluate_baseline(self.experiment, name)
            rows.append(evaluation_row(name, 0, 0, results, driven))
        return rows

    def draw_paths(self, tracks: Tracks, driven: EpisodeList, results: list[EpisodeResult]) -> None:
        """Write the picture of the paths, or print why there is none."""
        if not tracks.by_episode:
            self.print_line(f"Paths: none, env={self.experiment.env.name} has no map")
            return
        picture = self.stem.with_name(f"{self.stem.name}_paths.png")
        draw_trajectories(picture, self.title, tracks, driven.episodes, results)
        self.print_line(f"Paths: {picture}")

    def write_videos(self, episodes: list[EvaluationEpisode]) -> None:
        """Write the videos, or print why there are none."""
        try:
            with self.console.status(f"filming {count_episodes(len(episodes))}"):
                paths = video.film(self.experiment, self.policy, episodes, self.stem)
        except UserError as reason:
            self.print_line(f"Video: none: {reason}")
            return
        for path in paths:
            self.print_line(f"Video: {path}")

    def print_line(self, line: str) -> None:
        """Print a line without wrapping, so that a path in it can be copied."""
        self.console.print(line, soft_wrap=True, markup=False)
