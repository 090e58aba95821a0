"""An evaluation of a trained policy: a table, metrics as JSON, a picture of the paths, and videos."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.baselines import choose_baselines
from dreamer_exp.envs.episode import EpisodeResult
from dreamer_exp.evaluation.baselines import driven_by
from dreamer_exp.evaluation.episode_log import EpisodeLog, identity_of
from dreamer_exp.evaluation.episodes import EvaluationEpisode, episode_list
from dreamer_exp.evaluation.evaluate import evaluate_baseline, evaluate_policy
from dreamer_exp.evaluation.metrics import evaluation_row
from dreamer_exp.evaluation.rollout import Finished, MakePolicy
from dreamer_exp.evaluation.scenarios import draw_scenarios, scenarios_csv
from dreamer_exp.evaluation.trajectories import Track, count_episodes, draw_trajectories
from dreamer_exp.evaluation.video.film import choose, film, refuse_unfilmable
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.evaluation.workers.base import OpenWorkers, this_process
from dreamer_exp.formatting import printable_lines
from dreamer_exp.monitoring.episode_progress import EpisodeProgress
from dreamer_exp.monitoring.progress import LiveLine
from dreamer_exp.monitoring.scenario_table import scenario_table
from dreamer_exp.monitoring.summary import evaluation_table, impossible_line
from dreamer_exp.rundir.atomic import write_json, write_text
from dreamer_exp.rundir.metric_names import BASELINE, TRAINED


@dataclass(frozen=True)
class EvaluationReport:
    """Report of one policy and the baselines in an experiment's evaluation episodes.

    Attributes:
        experiment: gives the env, the contract, the episodes and the baselines.
        policy: builds the policy.
        policy_id: SHA-256 of its weights; an evaluation of the same policy that was cut off is continued.
        title: names the policy and the environment.
        stem: the path that every file's name begins with.
        console: where to print.
        workers: where the episodes run.
        logs: of the finished episodes, removed once the metrics are written.
    """

    experiment: Experiment
    policy: MakePolicy
    policy_id: str
    title: str
    stem: Path
    console: Console
    workers: OpenWorkers = this_process
    logs: list[EpisodeLog] = field(default_factory=list)

    def evaluate(self, about: dict[str, Any], env_steps: int, updates: int, films: FilmRequest) -> None:
        """Print the tables, then write `<stem>.json`, pictures and videos.

        The files are `<stem>.json`, `<stem>_scenarios.csv` and `.png`, `<stem>_paths.png` and
        `<stem>_seed<seed>_<outcome>.mp4` or `.gif`.

        Args:
            about: entries of the JSON next to the evaluations.
            env_steps: steps that the policy was trained on.
            updates: updates that trained it.
            films: the films, of failures first.

        Raises:
            UserError: the environment cannot be filmed as asked; nothing is evaluated.
        """
        self.print_line(self.title)
        if films.episodes:
            with self.console.status("preparing the films"):
                refuse_unfilmable(self.experiment, films)
        finished = self.evaluate_policy()
        results = [each.result for each in finished]
        name = self.experiment.algo.name
        rows = [self.row(name, TRAINED, env_steps, updates, results), *self.evaluate_baselines()]
        self.console.print(evaluation_table([(row["policy"], row) for row in rows]))
        if line := impossible_line(rows[0]):
            self.print_line(line)
        metrics = self.stem.with_name(f"{self.stem.name}.json")
        write_json(metrics, {**about, "evaluations": rows})
        for log in self.logs:
            log.remove()
        self.print_line(f"Metrics: {metrics}")
        self.report_scenarios(rows)
        self.draw_paths(finished)
        if films.episodes:
            self.write_films(choose(finished, films.episodes), films)

    def report_scenarios(self, rows: list[dict[str, Any]]) -> None:
        """Print the policy's worst scenarios; write the rates of all policies as CSV and the policy's as a picture."""
        table = scenario_table(rows[0], rows[1:])
        if table is None:
            return
        self.console.print(table)
        csv, picture = (self.stem.with_name(f"{self.stem.name}_scenarios.{ending}") for ending in ("csv", "png"))
        write_text(csv, scenarios_csv(rows))
        draw_scenarios(picture, self.title, rows[0]["by_scenario"])
        self.print_line(f"Scenarios: {csv}")
        self.print_line(f"Scenarios: {picture}")

    def evaluate_policy(self) -> list[Finished]:
        """Return the policy's episodes, their recordings tracks."""
        with self.unfinished("the policy", self.experiment, self.policy_id) as options:
            return evaluate_policy(self.experiment, self.policy, Track, **options)

    @contextmanager
    def unfinished(self, what: str, experiment: Experiment, policy_id: str) -> Iterator[dict[str, Any]]:
        """Yield options of the evaluation: episodes done in a call that was killed, a log and a live line."""
        log = EpisodeLog(self.stem.parent, identity_of(experiment, policy_id))
        done = log.load(self.episodes)
        if done:
            self.print_line(f"{what}: continuing after {count_episodes(len(done))} of an evaluation that was cut off")
        with LiveLine(self.console) as line:
            earlier = [finished.result for finished in done.values()]
            progress = EpisodeProgress(what, len(self.episodes), line.show, earlier)

            def finish(finished: Finished) -> None:
                log.append(finished)
                progress(finished)

            yield {"done": done, "on_finished": finish, "on_wait": progress.wait, "workers": self.workers}
        self.logs.append(log)

    def evaluate_baselines(self) -> list[dict[str, Any]]:
        """Return the rows of the requested baselines that can drive here, and print why others cannot."""
        possible, lines = choose_baselines(self.experiment.evaluation.baselines, self.experiment.env)
        for line in lines:
            self.print_line(line)
        return [self.row(name, BASELINE, 0, 0, self.evaluate_baseline(name)) for name in possible]

    def evaluate_baseline(self, name: str) -> list[EpisodeResult]:
        """Return a baseline's results."""
        with self.unfinished(f"the baseline {name}", driven_by(self.experiment, name), name) as options:
            return evaluate_baseline(self.experiment, name, **options)

    @property
    def episodes(self) -> list[EvaluationEpisode]:
        """The episodes of the evaluation."""
        return list(episode_list(self.experiment).episodes)

    def row(self, policy: str, kind: str, env_steps: int, updates: int, results: list[EpisodeResult]) -> dict[str, Any]:
        """Return the row of a policy's results."""
        return evaluation_row(policy, kind, env_steps, updates, results, episode_list(self.experiment))

    def draw_paths(self, finished: list[Finished]) -> None:
        """Write the picture of the paths, or print why there is none."""
        if finished[0].recording.scene is None:
            self.print_line(f"Paths: none, env={self.experiment.env.name} has no map")
            return
        picture = self.stem.with_name(f"{self.stem.name}_paths.png")
        draw_trajectories(picture, self.title, finished)
        self.print_line(f"Paths: {picture}")

    def write_films(self, episodes: list[EvaluationEpisode], films: FilmRequest) -> None:
        """Write the films, and print the path of each when it is complete."""
        with LiveLine(self.console) as line:
            number = len(episodes) * (1 + len(films.baselines))
            progress = EpisodeProgress("filming, failures first", number, line.show, shows_success=False)
            options: dict[str, Any] = {"on_finished": progress, "on_wait": progress.wait, "workers": self.workers}
            for path in film(self.experiment, self.policy, episodes, self.stem, films, **options):
                self.print_line(f"Video: {path}")

    def print_line(self, line: str) -> None:
        """Print a line without wrapping, so that a path in it can be copied."""
        self.console.print(printable_lines(line), soft_wrap=True, markup=False)
