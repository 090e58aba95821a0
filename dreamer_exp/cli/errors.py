"""The one place that turns an exception into a line on stderr and an exit code."""

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from dreamer_exp.config.errors import UserError, typed_line
from dreamer_exp.formatting import printable_lines, shortened
from dreamer_exp.rundir.processes import leave, notify
from dreamer_exp.terminal import keep_running_without_terminal, unwritten
from dreamer_exp.training.signals import EndedBySignal

FULL_ERROR = "HYDRA_FULL_ERROR"
SHOW_TRACEBACK = os.environ.get(FULL_ERROR) == "1"  # read once: the command train sets the variable for Hydra
MAX_MESSAGE = 8000  # characters; a file of someone else can hold a name of megabytes
INTERRUPTED = 130  # the exit code of a process that Ctrl-C ended


class CommandFailed(Exception):
    """A failure that is not a user's mistake; its message is printed as it is, and the exit code is 1."""


def run_command(command: Callable[[list[str]], int | None], needs_output: bool = True) -> NoReturn:
    """Run a command with the words of the command line, and exit with its code.

    An exception is printed as one line on stderr; under HYDRA_FULL_ERROR=1 its traceback comes first. A user's mistake
    exits with code 2, any other error with code 1, a signal with 128 plus its number. A closed or full standard output
    ends nothing.

    Args:
        command: takes the words, and returns the exit code.
        needs_output: whether its result is what it prints; if that could not be written, the exit code is 1.
    """
    keep_running_without_terminal()
    try:
        code = command(_words()) or 0
        if failure := unwritten():
            print(f"dreamer_exp: standard output is incomplete: {failure.strerror}.", file=sys.stderr)
            code = max(code, int(needs_output))
        sys.exit(code)
    except KeyboardInterrupt as interrupt:
        sys.exit(interrupt.exit_code if isinstance(interrupt, EndedBySignal) else INTERRUPTED)
    except SystemExit as ended:
        if isinstance(ended.code, int):
            notify(ended=True)
            leave(ended.code, ended)
        raise
    except Exception as error:  # noqa: BLE001  # the last frame of the program: every error is printed
        if SHOW_TRACEBACK:
            traceback.print_exception(error)
        line, code = explain(error)
        print(f"dreamer_exp: {shortened(printable_lines(line), MAX_MESSAGE)}", file=sys.stderr)
        notify(ended=True)
        leave(code, error)


def _words() -> list[str]:
    if "" in sys.argv[1:]:
        raise UserError("an argument is empty, as of a shell variable that is not set; give it a value or drop it.")
    return sys.argv[1:]


def explain(error: Exception) -> tuple[str, int]:
    """Return the line and the exit code of an exception."""
    from dreamer_exp.config import composition_errors  # imports Hydra, which most commands do not need

    if isinstance(error, UserError):
        return str(error), 2
    if getattr(error, "__notes__", None):  # raised by an environment
        return typed_line(error), 1
    if isinstance(error, composition_errors.COMPOSITION_ERRORS):
        return str(composition_errors.user_error(error)), 2
    return str(error) or type(error).__name__, 1


@contextmanager
def composing() -> Iterator[None]:
    """Turn every error of a composition into a UserError; Hydra raises bare ValueErrors too (algo=3, env=null).

    Errors of the operating system and of an environment's code pass unchanged.
    """
    from dreamer_exp.config import composition_errors
    from dreamer_exp.envs.boundary import EnvironmentFailed

    try:
        yield
    except (UserError, EnvironmentFailed):
        raise
    except composition_errors.COMPOSITION_ERRORS as error:  # before OSError, which one of them derives from
        raise composition_errors.user_error(error) from error
    except OSError:
        raise
    except Exception as error:
        raise composition_errors.user_error(error) from error
