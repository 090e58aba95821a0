"""A trained policy judged by itself: a table, the figures as JSON, a picture of the paths, films of episodes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import split_applicable
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation import video
from dreamer_exp.evaluation.rollout import (
    MakePolicy,
    evaluate_baseline,
    evaluate_policy,
    evaluation_row,
    evaluation_seeds,
)
from dreamer_exp.evaluation.trajectories import Tracks, draw_trajectories, episodes
from dreamer_exp.monitoring.summary import evaluation_table
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.metric_names import LEARNER


@dataclass(frozen=True)
class EvaluationReport:
    """Drives the episodes of an experiment's evaluation, and tells what came of them."""

    experiment: Experiment
    policy: MakePolicy
    title: str  # which policy, where
    stem: Path  # every file's name begins so
    console: Console

    def judge(self, about: dict[str, Any], env_steps: int, updates: int, films: int) -> None:
        """The table, then `<stem>.json`, `<stem>_paths.png` and `<stem>_seed<seed>_<outcome>.gif`.

        Args:
            about: what the JSON says beside the evaluations.
            env_steps: that the policy was trained on.
            updates: that trained it.
            films: episodes to film, failures first.
        """
        self.say(self.title)
        seeds, tracks = evaluation_seeds(self.experiment), Tracks()
        with self.console.status(f"{episodes(len(seeds))} of the policy"):
            results = evaluate_policy(self.experiment, self.policy, watch=tracks)
        rows = [evaluation_row(LEARNER, env_steps, updates, results, seeds), *self.baselines(seeds)]
        self.console.print(evaluation_table([(row["policy"], row) for row in rows]))
        figures = self.stem.with_name(f"{self.stem.name}.json")
        write_json(figures, {**about, "evaluations": rows})
        self.say(f"Figures: {figures}")
        self.draw(tracks, seeds, results)
        if films:
            self.film(video.choose(seeds, results, films))

    def baselines(self, seeds: list[int]) -> list[dict[str, Any]]:
        """The rows of the baselines that are asked for, where the environment can have them."""
        possible, impossible = split_applicable(self.experiment.evaluation.baselines, self.experiment.env)
        if impossible:
            self.say(f"not for env={self.experiment.env.name}: baseline {', '.join(impossible)}")
        rows = []
        for name in possible:
            with self.console.status(f"{episodes(len(seeds))} of the baseline {name}"):
                results = evaluate_baseline(self.experiment, name)
            rows.append(evaluation_row(name, 0, 0, results, seeds))
        return rows

    def draw(self, tracks: Tracks, seeds: list[int], results: list[EpisodeResult]) -> None:
        """The picture, or a line that says why there is none."""
        if not tracks.by_seed:
            self.say(f"Paths: none, as env={self.experiment.env.name} has no map")
            return
        picture = self.stem.with_name(f"{self.stem.name}_paths.png")
        draw_trajectories(picture, self.title, tracks, seeds, results)
        self.say(f"Paths: {picture}")

    def film(self, seeds: list[int]) -> None:
        """The films, or a line that says why there are none."""
        try:
            with self.console.status(f"filming {episodes(len(seeds))}"):
                films = video.film(self.experiment, self.policy, seeds, self.stem)
        except UserError as reason:
            self.say(f"Video: none: {reason}")
            return
        for path in films:
            self.say(f"Video: {path}")

    def say(self, line: str) -> None:
        """A line that isn't wrapped, so that a path in it can be copied."""
        self.console.print(line, soft_wrap=True, markup=False)
