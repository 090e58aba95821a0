"""The command line of `python -m dreamer_exp.compare`."""

import argparse
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dreamer_exp.compare.comparison import ComparisonRequest
from dreamer_exp.compare.find import find, is_sweep
from dreamer_exp.compare.metric import EVALUATION
from dreamer_exp.compare.page_data import OFFERED
from dreamer_exp.compare.read import read_runs
from dreamer_exp.config.errors import UserError

ABOUT = """\
Compares runs: what differs between them, which setting is better, and how sure that is.

PATH is a run, a sweep or a folder of them (outputs, multirun), in any mix. Runs that are equal but for their seed form
a group. The answer is printed, and goes as tables, figures and a page (compare.html) into --out: without it into the
sweep's folder where one sweep is compared, else into outputs/compare_<time>.
"""


class Parser(argparse.ArgumentParser):
    """Tells a mistake in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Raises UserError."""
        raise UserError(f"compare: {message}; see python -m dreamer_exp.compare --help")


def parser() -> Parser:
    """The words of the command."""
    words = Parser("python -m dreamer_exp.compare", description=ABOUT, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("paths", metavar="PATH", nargs="+", type=Path, help="a run, a sweep, or a folder of them")
    words.add_argument("--by", metavar="KEY", help="group by this key's value alone, all other settings together")
    words.add_argument(
        "--metric",
        metavar="NAME",
        help="a column of result.jsonl, or evaluation/NAME; default: evaluation/success_rate",
    )
    words.add_argument("--at", choices=("env_steps", "wall"), default="env_steps", help="what curves run over")
    words.add_argument("--threshold", metavar="VALUE", type=float, help="time to this level of the metric is told")
    words.add_argument("--out", metavar="DIR", type=Path, help="where the files go")
    return words


def run(words: Sequence[str]) -> Path:
    """Does what the command line asks; returns the folder written into.

    Raises:
        UserError: a mistake in the words, no run in any of the places, or nowhere to write.
    """
    asked = parser().parse_args(words)
    found = find(asked.paths)
    if not found.roots:
        raise UserError(f"compare: no run found. {'; '.join(found.faults)}.")
    runs = read_runs(found.named(), _columns(asked.metric))
    from dreamer_exp.compare.answer import answer  # matplotlib, plotly: imported while other processes read

    question = ComparisonRequest(asked.metric, asked.at, asked.by, asked.threshold)
    folder = _folder(asked.out, asked.paths)
    answer(list(runs), question, found.faults, folder)
    return folder


def main() -> None:
    """The command line; a mistake is one line, and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a folder's name may be of any bytes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        run(sys.argv[1:])
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _columns(metric: str | None) -> list[str]:
    """Of result.jsonl: the metric, and what the page offers beside it."""
    offered = [one.name for one in OFFERED if not one.name.startswith(EVALUATION)]
    return [*offered, *([metric] if metric else [])]


def _folder(out: Path | None, paths: Sequence[Path]) -> Path:
    if out is not None:
        return out
    if len(paths) == 1 and is_sweep(paths[0]):
        return paths[0]
    return Path("outputs") / f"compare_{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
