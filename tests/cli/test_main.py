"""The program dreamer-exp: its commands, and all of their spellings."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from dreamer_exp import __version__
from dreamer_exp.cli import main
from dreamer_exp.cli.main import COMMANDS, dispatch, is_command
from dreamer_exp.config.errors import UserError
from tests import programs
from tests.paths import CHECKOUT

USAGES = {
    "evaluate": "dreamer-exp evaluate RUN",
    "benchmark": "dreamer-exp benchmark RUN",
    "compare": "usage: dreamer-exp compare",
    "runs": "dreamer-exp runs [DIR ...]",
    "export": "dreamer-exp export RUN OUT",
    "doctor": "dreamer-exp doctor",
    "report": "dreamer-exp report RUN",
    "replay-update": "dreamer-exp replay-update FOLDER",
}
SCRIPT = ("-c", "from dreamer_exp.cli.main import main; main()")  # what the console script runs


def start(*python: str, cwd: Path = CHECKOUT) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "100", "PATH": ""}
    if python[0] == "-m":
        return programs.run(*python[2:], module=python[1], cwd=cwd, env=environment)
    return subprocess.run(
        [sys.executable, *python], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("command", USAGES)
def test_every_spelling_of_a_command_reaches_it(command: str) -> None:
    module = command.replace("-", "_")
    for python in (SCRIPT, ("-m", "dreamer_exp")):
        done = start(*python, command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(USAGES[command])
        assert max(map(len, done.stdout.splitlines())) <= 100
    assert start("-m", f"dreamer_exp.{module}", "--help").stdout == done.stdout


@pytest.mark.parametrize("words", [("run.seed=7",), ("train", "run.seed=7")])
@pytest.mark.parametrize("python", [SCRIPT, ("-m", "dreamer_exp")])
def test_settings_without_a_command_train(python: tuple[str, ...], words: tuple[str, ...], tmp_path: Path) -> None:
    done = start(*python, *words, "--cfg", "job", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "  seed: 7\n" in done.stdout


def test_the_console_script_is_the_program() -> None:
    (script,) = entry_points(group="console_scripts", name="dreamer-exp")
    assert script.load() is main.main


def test_every_command_is_tested() -> None:
    assert set(COMMANDS) == {"train", *USAGES}


def test_a_misspelt_command_is_one_line_with_the_nearest_one(tmp_path: Path) -> None:
    done = start("-m", "dreamer_exp", "evalute", "outputs/run", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "dreamer_exp: 'evalute' is neither a command nor KEY=VALUE. Did you mean 'evaluate'? See dreamer-exp --help.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_word_unlike_any_command_is_refused() -> None:
    with pytest.raises(UserError, match="neither a command nor KEY=VALUE"):
        dispatch(["0123456789"])


@pytest.mark.parametrize("word", ["run.seed=7", "+env.kwargs.a=1", "~tracking", "-m", "--config-dir"])
def test_settings_and_flags_are_not_commands(word: str) -> None:
    assert not is_command(word)


def test_version_prints_the_version_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["experiment=quickstart", "--version"], ["evaluate", "--version"]):
        assert dispatch(words) == 0
        assert capsys.readouterr().out == f"dreamer-exp {__version__}\n"


def test_the_help_fits_100_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch(["--help"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 100
