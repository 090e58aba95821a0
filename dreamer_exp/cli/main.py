"""The program `dreamer-exp`, also started as `python -m dreamer_exp`: chooses the command."""

import importlib
import itertools
import sys
from pathlib import Path
from typing import NoReturn

from dreamer_exp import __version__
from dreamer_exp.cli.errors import run_command
from dreamer_exp.config.errors import UserError, nearest

TRAIN = "train"
COMMANDS = {  # name: module
    TRAIN: "dreamer_exp.cli.train",
    "evaluate": "dreamer_exp.cli.evaluate",
    "compare": "dreamer_exp.cli.compare",
    "runs": "dreamer_exp.cli.runs",
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
    if words[:1] == ["--version"]:
        print(f"dreamer-exp {__version__}")
        return 0
    name = TRAIN
    if words and is_command(words[0]):
        name = words[0]
        if name not in COMMANDS:
            hint = nearest(name, tuple(COMMANDS))
            raise UserError(f"{name!r} is neither a command nor KEY=VALUE.{hint} See dreamer-exp --help.")
        del sys.argv[1]  # what follows is the command line of the command
    if name == TRAIN and {"--help", "-h"} & set(words):
        from dreamer_exp.config.help_text import help_text  # imports Hydra

        print(help_text(config_dirs(words)))
        return 0
    importlib.import_module(COMMANDS[name]).main()
    return 0


def is_command(word: str) -> bool:
    """Return whether a first word is meant as a command; flags and Hydra's overrides are not."""
    return "=" not in word and not word.startswith(("-", "+", "~"))


def config_dirs(words: list[str]) -> tuple[Path, ...]:
    """Return the folders that `--config-dir` adds to the config groups."""
    joined = [word.removeprefix("--config-dir=") for word in words if word.startswith("--config-dir=")]
    separate = [after for flag, after in itertools.pairwise(words) if flag in ("--config-dir", "-cd")]
    return tuple(map(Path, joined + separate))
