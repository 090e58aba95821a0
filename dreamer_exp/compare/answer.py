"""What is done with runs once they are read: compare, show, write."""

import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from dreamer_exp.compare.comparison import ComparisonRequest, compare
from dreamer_exp.compare.curves import curve
from dreamer_exp.compare.figures import draw
from dreamer_exp.compare.model import Comparison, Run
from dreamer_exp.compare.page import write_page
from dreamer_exp.compare.terminal import show
from dreamer_exp.compare.write import write_files
from dreamer_exp.config.errors import UserError

WIDTH = 100  # columns, where what is printed goes into a file or a pipe


def answer(runs: Sequence[Run], question: ComparisonRequest, faults: Sequence[str], folder: Path) -> None:
    """Prints the comparison, writes its files into the folder, and names them.

    Raises:
        UserError: the question names what none of the runs has, or the folder cannot be written.
    """
    comparison = compare(runs, question, faults)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    show(console, comparison)
    for path in _write(folder, comparison):
        console.print(str(path), soft_wrap=True, markup=False)


def _write(folder: Path, comparison: Comparison) -> list[Path]:
    """All files; another process draws while this one writes, as each takes half of the time."""
    page = folder / "compare.html"
    curves = [curve(group.runs, comparison.metric, comparison.at) for group in comparison.groups]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(1) as other:
            figures = other.submit(draw, folder, replace(comparison, runs=(), groups=()), curves)
            files = write_files(folder, comparison)
            write_page(page, comparison)
        return [*files, *figures.result(), page]
    except OSError as error:
        raise UserError(
            f"compare: {error.filename or folder} cannot be written ({error.strerror}); use --out."
        ) from error
