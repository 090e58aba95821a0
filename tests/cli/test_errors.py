"""Exceptions as a line and an exit code."""

import sys

import pytest
from hydra.errors import MissingConfigException

from dreamer_exp.cli import errors
from dreamer_exp.cli.errors import CommandFailed, composing, explain, run_command
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.boundary import EnvironmentFailed

MISSING = MissingConfigException("...", "env/moon", ["crowd_nav", "gym"])
MISSING_LINE = "env=moon: there is no such option. env has: crowd_nav, gym."


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (UserError("run.seed=x: a whole number"), "run.seed=x: a whole number", 2),
        (MISSING, MISSING_LINE, 2),
        (CommandFailed("the disk is full"), "the disk is full", 1),
        (PermissionError(13, "Permission denied", "/x"), "[Errno 13] Permission denied: '/x'", 1),
        (AssertionError(), "AssertionError", 1),
    ],
    ids=["user's mistake", "composition", "failure", "operating system", "no message"],
)
def test_an_exception_becomes_a_line_and_an_exit_code(error: Exception, line: str, code: int) -> None:
    assert explain(error) == (line, code)


def raising(error: BaseException) -> int:
    raise error


def exit_code(error: BaseException) -> object:
    with pytest.raises(SystemExit) as ended:
        run_command(lambda words: raising(error))
    return ended.value.code


def test_a_command_exits_with_the_code_of_its_exception(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(UserError("no")) == 2
    assert capsys.readouterr().err == "dreamer_exp: no\n"
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(SystemExit(143)) == 143
    assert capsys.readouterr().err == ""


def test_a_line_of_megabytes_is_shortened(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(UserError("x" * 1_000_000)) == 2
    assert len(capsys.readouterr().err) < 10_000


def test_a_command_gets_the_words_and_exits_with_its_own_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dreamer-exp", "a", "b"])
    with pytest.raises(SystemExit) as ended:
        run_command(len)
    assert ended.value.code == 2


def test_an_empty_argument_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["dreamer-exp", "outputs/a", ""])
    with pytest.raises(SystemExit) as ended:
        run_command(len)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("dreamer_exp: an argument is empty, as of a shell variable")


def test_the_traceback_is_printed_before_the_line_on_request(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(errors, "SHOW_TRACEBACK", True)
    assert exit_code(UserError("no")) == 2
    printed = capsys.readouterr().err.splitlines()
    assert (printed[0], printed[-1]) == ("Traceback (most recent call last):", "dreamer_exp: no")


@pytest.mark.parametrize("error", [ValueError("Config group override must be a string"), MISSING])
def test_errors_of_a_composition_become_user_errors(error: Exception) -> None:
    with pytest.raises(UserError), composing():
        raise error


def test_errors_of_the_operating_system_are_not_converted() -> None:
    with pytest.raises(PermissionError), composing():
        raise PermissionError(13, "Permission denied")


def test_a_crash_of_an_environment_while_composing_is_no_mistake_of_the_user() -> None:
    with pytest.raises(EnvironmentFailed), composing():
        raise EnvironmentFailed("env.id='A-v0' cannot be made: KeyError: 'asset'")
