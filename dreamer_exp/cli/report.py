"""The command `dreamer-exp report RUN ...`: writes the page of each run again, also of older runs."""

import os
from pathlib import Path
from typing import NoReturn

from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import printable
from dreamer_exp.report.page import write_page
from dreamer_exp.rundir.layout import RUN_FILES

USAGE = """\
dreamer-exp report RUN [RUN ...]

Writes RUN/report/index.html, a page for a browser that loads nothing from the network: how the run
ended, its curves, evaluations by scenario, imagination, films, settings and the next commands. A
run writes it at its end, and `evaluate` adds its films; this writes it again, also for runs of
earlier releases.
"""


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Write the page of each run; return the exit code.

    Raises:
        UserError: a word is no run's directory, or a page cannot be written; earlier pages stay.
    """
    roots = [run_directory(word) for word in words]
    for root in roots:
        try:
            path = write_page(root)
        except OSError as error:
            raise UserError(f"{printable(root)}: the page cannot be written: {error.strerror or error}.") from error
        print(printable(path))
    return 0


def run_directory(word: str) -> Path:
    """Return the run's directory that a word names.

    Raises:
        UserError: it is not a run's directory.
    """
    if word.startswith("-"):
        raise UserError(f"{word}: report takes runs' directories and no flags; see dreamer-exp report --help.")
    if not any(os.path.lexists(os.path.join(word, name)) for name in RUN_FILES):
        raise UserError(
            f"{word} is not a run's directory, which has {', '.join(RUN_FILES)}; dreamer-exp runs lists runs."
        )
    return Path(word).resolve()
