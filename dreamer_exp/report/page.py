"""The page of a run: how it ended, curves, evaluations, imagination, films, settings and what to do next."""

import logging
import math
import os
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from dreamer_exp import __version__
from dreamer_exp.compare.differences import as_typed, code_of, hardware_of
from dreamer_exp.compare.metrics import last_evaluation
from dreamer_exp.compare.model import Run
from dreamer_exp.formatting import MISSING, count, duration, now_utc, printable, shortened
from dreamer_exp.html_page import SHARED, content_policy, encodable, environment, percent, template_file
from dreamer_exp.palette import BLUE
from dreamer_exp.report import charts
from dreamer_exp.report.commands import next_commands
from dreamer_exp.report.rates import Scenarios, Table, scenarios_of, table_of
from dreamer_exp.report.read import Evaluation, RunPage, read_page
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.display import MAX_VALUE, is_number
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import is_trained, score
from dreamer_exp.rundir.plain_file import is_plain_folder

PACKAGE = "dreamer_exp.report"
POLICY = "policy"  # what tables call the trained policy
MAX_KEYS = 400  # of experiment.yaml
SETTINGS = (
    "env.name", "env.scenario", "env.id", "env.max_steps", "obs_contract.name", "algo.name", "algo.model_size",
    "algo.training_ratio", "algo.horizon_H", "run.seed", "run.train_iterations", "hardware.num_env_runners",
    "hardware.num_envs_per_env_runner", "evaluation.protocol", "evaluation.episodes", "tracking.name",
)  # fmt: skip  # of the short table, where the run has them
ENDS = {
    "finished": "The run did all of its iterations.",
    "interrupted": "A signal ended the run.",
    "stopped": "The sweep stopped the run early.",
    "failed": "An error ended the run.",
    "dead": "The run's process ended without writing an end: it was killed, or the machine went down.",
    "running": "The run was still running when this page was written.",
}

log = logging.getLogger(__name__)


def write_page(root: Path) -> Path:
    """Write report/index.html of the run in a directory and return its path.

    Raises:
        OSError: The file cannot be written, or report/ is a link, which may lead anywhere.
    """
    files = RunDirectory(root)
    if os.path.lexists(files.report) and not is_plain_folder(files.report):
        raise OSError(f"{files.report} is a link or not a folder")
    write_text(files.page, render_page(read_page(root)))
    return files.page


def try_write_page(root: Path) -> Path | None:
    """Write the page and return its path, or None after a warning: neither a run nor an evaluation fails over it."""
    try:
        return write_page(root)
    except Exception as problem:  # noqa: BLE001  # reported: the results are already on the disk
        log.warning("report/index.html could not be written: %s: %s", type(problem).__name__, problem)
        return None


def render_page(page: RunPage) -> str:
    """Return the page's HTML."""
    run = page.run
    baselines = charts.baselines_of(run)
    named = _named_evaluations(run, baselines)
    template = _environment().get_template("report.html.j2")
    html = template.render(
        page=page,
        run=run,
        end=_end(page),
        facts=_facts(run),
        charts=charts.charts_of(run),
        size=charts,
        colours=charts.colours_of(baselines),
        blue=BLUE,
        table=table_of(named),
        scenarios=scenarios_of(named),
        commands={what: printable(command) for what, command in _commands(page).items()},
        policy=content_policy("'self' file:"),
        style=Markup(template_file(SHARED, "page.css") + template_file(PACKAGE, "report.css")),
        settings=_settings(run),
        keys=[(key, as_typed(value)) for key, value in list(run.config.items())[:MAX_KEYS]],
        python_path=repr(str(run.root)),
        written=now_utc(),
        version=__version__,
    )
    return encodable(html)


@cache
def _environment() -> Environment:
    templates = environment(PACKAGE)
    templates.globals |= {"table_of": _report_table, "scenarios_of": _report_scenarios}
    return templates


def _report_table(evaluation: Evaluation) -> Table:
    return table_of(_with_policy(evaluation))


def _report_scenarios(evaluation: Evaluation) -> Scenarios | None:
    return scenarios_of(_with_policy(evaluation))


def _with_policy(evaluation: Evaluation) -> list[tuple[str, Any]]:
    return [(POLICY if is_trained(row) else name, row) for name, row in evaluation.rows]


def _named_evaluations(run: Run, baselines: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the rows of the table: the last evaluation, the best and the first if they are others, the baselines."""
    mine = [row for row in run.evaluations if is_trained(row)]
    trained = [row for row in mine if row["env_steps"]]
    named: list[tuple[str, dict[str, Any]]] = []
    if trained:
        named.append((f"{POLICY}, {trained[-1]['env_steps']:,.0f} env steps", trained[-1]))
        best = max(trained, key=score)
        if score(best) > score(trained[-1]):
            named.append((f"{POLICY}, best: {best['env_steps']:,.0f} env steps", best))
    if mine and not mine[0]["env_steps"]:
        named.append((f"{POLICY}, before training", mine[0]))
    return [*named, *baselines.items()]


def _end(page: RunPage) -> str:
    """Return how the run ended, in a sentence."""
    if page.run.state == "finished" and page.end_reason and not page.end_reason.startswith("run.train_iterations="):
        return f"The run reached its limit or goal: {page.end_reason}."
    end = ENDS.get(page.run.state, "How the run ended is not recorded.")
    return f"{end} {page.end_reason}" if page.run.state == "stopped" and page.end_reason else end


def _facts(run: Run) -> dict[str, str]:
    """Return the figures below the title."""
    evaluated = last_evaluation(run) or {}
    success = evaluated.get("success_rate")
    facts = {
        "success, last evaluation": percent(success) if is_number(success) else MISSING,
        "env steps": count(_last(run, "env_steps")),
        "updates": count(_last(run, "updates")),
        "iterations": count(_last(run, "iteration")),
        "wall time": duration(_last(run, "time/total_s")),
    }
    return {name: text for name, text in facts.items() if text != MISSING}


def _last(run: Run, column: str) -> float:
    values = run.rows.get(column, np.array([]))
    known = values[~np.isnan(values)]
    return float(known[-1]) if len(known) else math.nan


def _commands(page: RunPage) -> dict[str, str]:
    """Return what to do with the run; nothing without a checkpoint, or while it runs."""
    run = page.run
    if run.state == "running" or not os.path.lexists(RunDirectory(run.root).checkpoints / "latest"):
        return {}
    done = _last(run, "iteration")
    iterations = int(done) if 0 < done < 10**9 else None
    module = run.config.get("env.id")
    imports = isinstance(module, str) and ":" in module
    return next_commands(
        run.root, iterations, finished=run.state == "finished", imports=imports, end_reason=page.end_reason
    )


def _settings(run: Run) -> list[tuple[str, str]]:
    """Return the settings and facts of the short table."""
    words = run.provenance.get("command_line")
    given = [str(word) for word in words[1:]] if isinstance(words, list) else []
    code, hardware = code_of(run), hardware_of(run)
    facts = {
        "started with": shortened(shlex.join(given), MAX_VALUE) if given else None,
        "started": run.provenance.get("started_utc"),
        **{key: run.config.get(key) for key in SETTINGS},
        "dreamer_exp": f"{code['dreamer_exp']}, commit {code['git']}" if run.provenance else None,
        **{key: hardware[key] for key in ("learner on", "backend", "GPUs", "CPU", "CPU cores")},
    }
    return [(name, as_typed(value)) for name, value in facts.items() if value not in (None, [], MISSING)]
