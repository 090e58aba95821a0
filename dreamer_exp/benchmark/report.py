"""The benchmark from its first cell to its report: tables, summary and submission."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from dreamer_exp.benchmark import tables
from dreamer_exp.benchmark.arm import BASELINES, Arm
from dreamer_exp.benchmark.cell import CellJob
from dreamer_exp.benchmark.drive import ROWS, ArmRun
from dreamer_exp.benchmark.submission import Origin, as_yaml, write_submission
from dreamer_exp.benchmark.summary import not_comparable, summarise
from dreamer_exp.benchmark.surface import CANONICAL, Surface
from dreamer_exp.checkpoints.manifest import sha256
from dreamer_exp.envs.robot_sf import package
from dreamer_exp.envs.robot_sf.map_runner import NAME, load_map_runner
from dreamer_exp.formatting import clock, printable_lines
from dreamer_exp.monitoring.progress import LiveLine
from dreamer_exp.rundir.atomic import write_json, write_text

FORMAT = 1
SUMMARY, PAGE, CONFIG, SUBMISSION = "benchmark.json", "benchmark.md", "policy.yaml", "submission"


@dataclass(frozen=True)
class BenchmarkReport:
    """A benchmark of one policy and of planners of Robot SF.

    Attributes:
        surface: what they are driven on.
        origin: of the policy.
        folder: of rows and reports.
        console: where to print.
        workers: number of processes.
    """

    surface: Surface
    origin: Origin
    folder: Path
    console: Console
    workers: int

    def run(self, arms: Sequence[Arm]) -> int:
        """Drive the arms one after the other, print the tables, write the reports; return 1 if cells have no row."""
        self.print_line(f"{self.surface.describe()}; {self.workers} processes; rows in {self.folder}")
        opened = [self.open_arm(arm) for arm in arms]  # all, so that a folder of other rows is refused at once
        earlier = [self.open_arm(arm) for arm in self.earlier_arms(arms)]
        summaries = {run.job.arm.name: self.drive(run) for run in opened}
        driven = list(summaries)
        summaries |= {run.job.arm.name: summarise(list(run.results.values()), self.surface.cells) for run in earlier}
        self.write(summaries)
        self.print_tables(summaries)
        rows = self.folder / NAME / ROWS
        if rows.exists():
            checks = write_submission(self.folder / SUBMISSION, self.origin, self.surface.name, summaries[NAME], rows)
            for line in checks:
                self.print_line(line)
        for name in (SUMMARY, PAGE):
            self.print_line(f"Report: {self.folder / name}")
        incomplete = {name: why for name in driven if (why := not_comparable(summaries[name]))}
        for name, why in incomplete.items():
            self.print_line(f"{name}: {why}. The same command tries them again.")
        return int(bool(incomplete))

    def earlier_arms(self, arms: Sequence[Arm]) -> list[Arm]:
        """Return the planners of Robot SF that only earlier calls asked for; their rows stay in the report."""
        names = {arm.name for arm in arms}
        return [Arm(name) for name in BASELINES if name not in names and (self.folder / name / ROWS).exists()]

    def open_arm(self, arm: Arm) -> ArmRun:
        """Return the run of an arm, with the rows of earlier calls."""
        folder = self.folder / arm.name
        identity: dict[str, Any] = {
            "format": FORMAT,
            "planner": arm.name,
            "protocol": self.surface.name,
            "horizon": self.surface.horizon,
            "dt": self.surface.dt,
            "scenarios_sha256": sha256(self.surface.path),
            "robot_sf_commit": package.commit(),
            "policy": self.origin.identity() if arm.entrant else None,
        }
        config = folder / CONFIG if arm.entrant else None
        run = ArmRun(CellJob(self.surface, arm, config), folder, identity, load_map_runner().metric_value)
        run.open()
        if config is not None:
            write_text(config, as_yaml(self.origin.identity()))
        if run.results:
            self.print_line(f"{arm.name}: {len(run.results):,} rows of earlier calls")
        return run

    def drive(self, run: ArmRun) -> dict[str, Any]:
        """Run the missing cells of an arm; return its summary."""
        started = time.monotonic()
        with LiveLine(self.console) as line:
            run.drive(self.workers, line.show)
        seconds = time.monotonic() - started
        summary = summarise(list(run.results.values()), self.surface.cells, seconds)
        self.print_line(f"{run.job.arm.name}: {summary['episodes']:,} rows, {clock(seconds)}")
        return summary

    def write(self, summaries: Mapping[str, dict[str, Any]]) -> None:
        """Write benchmark.json and benchmark.md."""
        tree = {
            "format": FORMAT,
            "surface": self.surface.describe(),
            "canonical": self.surface.name == CANONICAL,
            "robot_sf_commit": package.commit(),
            "policy": self.origin.identity(),
            "arms": dict(summaries),
        }
        write_json(self.folder / SUMMARY, tree)
        lines = [*self.arm_lines(summaries), *tables.published_lines()]
        page = [f"# Robot SF's benchmark\n\n{self.surface.describe()}. {self.published_note()}\n\n"]
        page.append(tables.markdown(tables.HEADINGS, lines))
        for name, summary in summaries.items():
            page.append(f"\n## {name} by scenario, worst first\n\n")
            page.append(tables.markdown(tables.SCENARIO_HEADINGS, tables.scenario_lines(summary)))
        write_text(self.folder / PAGE, "".join(page))

    def print_tables(self, summaries: Mapping[str, dict[str, Any]]) -> None:
        """Print the arms above the published planners, and the policy's worst scenarios."""
        title = f"Robot SF, {self.surface.describe()}"
        self.console.print(tables.main_table(title, self.arm_lines(summaries), tables.published_lines()))
        self.print_line(self.published_note())
        self.console.print(tables.worst_table(NAME, summaries[NAME]))

    @staticmethod
    def arm_lines(summaries: Mapping[str, dict[str, Any]]) -> list[tables.Line]:
        """Return the arms' cells."""
        return [tables.arm_line(name, summary) for name, summary in summaries.items()]

    def published_note(self) -> str:
        """Return what the published rows are, and whether ours are on the same cells."""
        note = "Planners below the line are published for 48 scenarios x 30 seeds, horizon 600"
        return f"{note}." if self.surface.name == CANONICAL else f"{note}: other cells than ours."

    def print_line(self, line: str) -> None:
        """Print a line of text as it is."""
        self.console.print(printable_lines(line), soft_wrap=True, markup=False)
