"""The program `dreamer-exp`, also started as `python -m dreamer_exp`: chooses the command."""

import importlib
import os
import sys
from typing import NoReturn

from dreamer_exp import __version__
from dreamer_exp.cli import completion
from dreamer_exp.cli.errors import run_command
from dreamer_exp.config.errors import UserError, nearest

TRAIN = "train"
COMMANDS = {  # name: module
    TRAIN: "dreamer_exp.cli.train",
    "evaluate": "dreamer_exp.cli.evaluate",
    "benchmark": "dreamer_exp.cli.benchmark",
    "compare": "dreamer_exp.cli.compare",
    "runs": "dreamer_exp.cli.runs",
    "report": "dreamer_exp.cli.report",
    "export": "dreamer_exp.cli.export",
    "doctor": "dreamer_exp.cli.doctor",
    "replay-update": "dreamer_exp.cli.replay_update",
}


def main() -> NoReturn:
    """Run the command that the first word names; without a command, train."""
    run_command(dispatch)


def dispatch(words: list[str]) -> int | None:
    """Run a command line.

    Raises:
        UserError: the first word is neither a command nor a setting.
    """
    if "--version" in words:
        print(f"dreamer-exp {__version__}")
        return 0
    if completion.is_query(words):
        line = os.environ.get("COMP_LINE", "")
        print("\n".join(completion.suggestions(line, COMMANDS)))
        if completion.command_in(line, COMMANDS):
            return 0  # the shell then suggests files
    name = TRAIN
    if words and is_command(words[0]):
        name = words[0]
        if name not in COMMANDS:
            raise UserError(f"{name!r} is neither a command nor KEY=VALUE.{hint_for(name)} See dreamer-exp --help.")
        del sys.argv[1]  # what follows is the command line of the command
    if name == TRAIN and {"--help", "-h"} & set(words):
        from dreamer_exp.config.help_text import help_text  # imports Hydra
        from dreamer_exp.config.option_files import extra_dirs

        print(help_text(extra_dirs(words)))
        return 0
    importlib.import_module(COMMANDS[name]).main()
    return 0


def hint_for(word: str) -> str:
    """Return ` Did you mean ...?` for a word that is no command: the nearest command, or an option of this name."""
    from dreamer_exp.config.hints import option_hint  # imports Hydra

    return nearest(word, tuple(COMMANDS)) or option_hint(word)


def is_command(word: str) -> bool:
    """Return whether a first word is meant as a command; flags and Hydra's overrides are not."""
    return "=" not in word and not word.startswith(("-", "+", "~"))
