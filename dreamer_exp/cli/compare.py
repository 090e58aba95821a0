"""The command `dreamer-exp compare PATH ...`: compares runs and sweeps."""

import argparse
import math
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from dreamer_exp.cli.errors import run_command
from dreamer_exp.compare.find import find_runs
from dreamer_exp.compare.metrics import EVALUATION, OFFERED, available
from dreamer_exp.compare.model import ComparisonRequest
from dreamer_exp.compare.pipeline import compare
from dreamer_exp.compare.read import read_runs
from dreamer_exp.compare.terminal import show
from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import printable
from dreamer_exp.rundir.layout import is_sweep

ABOUT = """\
Compares runs: their differences, which setting is better, and whether the runs are enough to
decide it.

PATH is a run, a sweep or a folder of them (outputs, multirun), in any mix. Runs that differ only in
their seed form a group. The result is printed and written as tables, figures and a page
(compare.html) into --out; by default into the sweep's folder if PATH is a single sweep, else into
outputs/compare_<time>_<4 hex>.
"""
LIST = ""  # value of --metric without a name
WIDTH = 100  # columns of output that goes into a file or a pipe


class Parser(argparse.ArgumentParser):
    """Argument parser that raises UserError, with one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raise UserError."""
        raise UserError(f"compare: {message}; see dreamer-exp compare --help")


def parser() -> Parser:
    """Return the parser of the command line."""
    words = Parser("dreamer-exp compare", description=ABOUT, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a run, a sweep, or a folder of them")
    words.add_argument("--by", metavar="KEY", help="group by the value of this key, and pool all other settings")
    words.add_argument(
        "--metric",
        metavar="NAME",
        nargs="?",
        const=LIST,
        help="a column of result.jsonl, or evaluation/NAME (default:\nevaluation/success_rate); without NAME: a list",
    )
    words.add_argument("--at", choices=("env_steps", "wall"), default="env_steps", help="x axis of the curves")
    words.add_argument("--threshold", metavar="VALUE", type=_finite, help="report the time to this level of the metric")
    words.add_argument("--out", metavar="DIR", type=Path, help="output folder")
    return words


def run(words: Sequence[str]) -> Path | None:
    """Compare runs as the command line requests, and return the output folder; None if metrics were only listed.

    Raises:
        UserError: A word is wrong, no path holds a run, or the output cannot be written.
    """
    options = parser().parse_args(words)
    search = find_runs(options.paths)
    if not search.roots:
        raise UserError(f"compare: no run found. {'; '.join(search.faults)}.")
    runs = read_runs(search.named(), _columns(options.metric))
    if options.metric == LIST:
        print("\n".join(available(list(runs))) or "The runs have no rows yet.")
        return None
    from dreamer_exp.compare.write import write_files  # matplotlib, plotly: imported while other processes read

    request = ComparisonRequest(options.metric, options.at, options.by, options.threshold)
    folder = _folder(options.out, options.paths)
    comparison = compare(list(runs), request, search.faults)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    show(console, comparison)
    for path in write_files(folder, comparison):
        console.print(printable(path), soft_wrap=True, markup=False)
    return folder


def main() -> NoReturn:
    """Run the command."""
    run_command(command)


def command(words: list[str]) -> int:
    """Compare runs; return the exit code."""
    run(words)
    return 0


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number, such as 0.9")
    return value


def _columns(metric: str | None) -> list[str]:
    """Return the columns of result.jsonl to read: the metric, and those that the page offers."""
    offered = [one.name for one in OFFERED if not one.name.startswith(EVALUATION)]
    return [*offered, *([metric] if metric else [])]


def _folder(out: Path | None, paths: Sequence[Path]) -> Path:
    if out is not None:
        return out
    if len(paths) == 1 and is_sweep(paths[0]):
        return paths[0]
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return Path("outputs") / f"compare_{stamp}_{secrets.token_hex(2)}"
