"""The boundary to an environment's own code, which may raise, exit, return anything and change global settings."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from dreamer_exp.config.errors import Interrupt, UserError, first_line
from dreamer_exp.envs.contract import ContractError, read_reward
from dreamer_exp.envs.episode import read_info
from dreamer_exp.envs.notices import Notice, log_notices
from dreamer_exp.envs.spec import RawEnv
from dreamer_exp.envs.torch_defaults import Change, kept_defaults


class EnvironmentFailed(Exception):
    """An environment that cannot be made, or that asked the process to exit: exit code 1, as for any crash of one."""


class DoesNotReturn(Interrupt):
    """The interruption of an environment's code that did not return after a request to stop."""


class Call(NamedTuple):
    """A call of an environment's code: what it is called in messages, and its start in monotonic seconds."""

    name: str
    since: float


class MainThread:
    """What the main thread of this process does.

    Attributes:
        call: the call of an environment in which it is.
    """

    call: Call | None = None


class BoundaryEnv(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """An environment whose code cannot harm the run that steps it.

    - An exception names the method and the environment; SystemExit becomes EnvironmentFailed.
    - A reward is a float that float32 can hold, or a Fault.
    - At the end of an episode, `info` holds the documented keys in the documented form (EpisodeInfo); before it, none.
    - torch's global settings are set back after each call, with a notice.
    - `close` raises nothing.
    """

    def __init__(self, env: RawEnv, label: str, notices: tuple[Notice, ...] = ()) -> None:
        """Keep the environment.

        Args:
            env: the environment.
            label: what it is called in messages, as `env.id='Pendulum-v1'`.
            notices: what is reported with the first episode.
        """
        RecordConstructorArgs.__init__(self, label=label, notices=notices)
        gymnasium.Wrapper.__init__(self, env)
        self._label, self._is_closed = label, False
        self._notices = list(notices)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Return the first observation, and an empty info."""
        with self.calling("reset"):
            observation, _ = self.env.reset(seed=seed, options=options)
        return observation, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step the environment.

        Raises:
            Fault: the reward isn't a finite number.
            ContractError: `terminated` or `truncated` is not a bool.
            EnvironmentFailed: the environment asked the process to exit.
        """
        with self.calling("step"):
            observation, reward, terminated, truncated, info = self.env.step(action)
        ended = read_flag(terminated, "terminated"), read_flag(truncated, "truncated")
        return observation, read_reward(reward), *ended, self._read_info(info, *ended)

    def render(self) -> Any:
        """Return the frame."""
        with self.calling("render"):
            return self.env.render()

    def close(self) -> None:
        """Close the environment, once; what it raises is logged, because nothing depends on it any more."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            with self.calling("close"):
                self.env.close()
        except (Exception, DoesNotReturn) as error:  # noqa: BLE001  # of any kind: the episodes are complete
            self._notices.append(Notice(f"close {self._label}", f"close() raised {cause_of(error)}; ignored"))
        log_notices(self._take_notices())

    @contextmanager
    def calling(self, method: str) -> Iterator[None]:
        """Name this method and the environment in an exception of the block, and set torch's settings back after it."""
        name = f"{method}() of {self._label}"
        with kept_defaults() as changes, naming(f"raised by {name}"), noted(name):
            yield
        if changes:
            self._notices += notices_of(f"{method}()", changes)

    def _read_info(self, info: Any, terminated: bool, truncated: bool) -> dict[str, Any]:
        if not (terminated or truncated):
            return {}
        known = read_info(info, truncated=truncated and not terminated)
        self._notices += known.pop("notices", ())
        return {**known, "notices": self._take_notices()} if self._notices else {**known}

    def _take_notices(self) -> tuple[Notice, ...]:
        """Return the notices since the last call, with the environment's name."""
        notices = tuple(Notice(subject, f"{self._label}: {line}") for subject, line in self._notices)
        self._notices.clear()
        return notices


def make_behind_boundary(make: Callable[[], RawEnv], label: str) -> BoundaryEnv:
    """Return an environment behind its boundary.

    Args:
        make: makes the environment.
        label: what it is called in messages, as `env.id='Pendulum-v1'`.

    Raises:
        UserError: raised by `make`, or the environment has no spaces.
        EnvironmentFailed: the environment's code raised any other exception.
    """
    with kept_defaults() as changes:
        try:
            with noted(f"making {label}"):
                made = make()
        except (UserError, Interrupt):
            raise
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if is_ctrl_c(error):
                raise
            raise EnvironmentFailed(f"{label} cannot be made: {cause_of(error)}") from error
    for name in ("observation_space", "action_space"):
        if not isinstance(getattr(made, name, None), gymnasium.Space):
            raise UserError(f"{label} has no {name}; the environment has to set it to a gymnasium.spaces.Space.")
    return BoundaryEnv(made, label, notices_of("making it", changes))


@contextmanager
def hinting(hint: str | None) -> Iterator[None]:
    """Add a hint, if there is one, to the message of an environment that cannot be made a second time."""
    try:
        yield
    except (UserError, EnvironmentFailed) as error:
        if hint is None:
            raise
        raise type(error)(f"{str(error).rstrip('.')}. If it cannot exist twice at a time, set {hint}.") from error


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Add `where` to an exception as a note; raise EnvironmentFailed in place of one that is no error of a program.

    Those are SystemExit, and KeyboardInterrupt unless a signal raised it.
    """
    try:
        yield
    except Exception as error:
        error.add_note(where)
        raise
    except KeyboardInterrupt as interrupt:
        if is_ctrl_c(interrupt):
            raise
        raise EnvironmentFailed(f"KeyboardInterrupt ({where})") from interrupt
    except SystemExit as left:
        raise EnvironmentFailed(f"{cause_of(left)} ({where})") from left


@contextmanager
def noted(name: str) -> Iterator[None]:
    """Note in MainThread.call that the block calls an environment, if the main thread runs it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    MainThread.call = Call(name, time.monotonic())
    try:
        yield
    finally:
        MainThread.call = None


def is_ctrl_c(error: BaseException) -> bool:
    """Return whether an exception is due to a signal: an Interrupt, or any where Python's own handler raises them."""
    by_python = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, Interrupt) or (isinstance(error, KeyboardInterrupt) and by_python)


def ignore_ctrl_c() -> None:
    """Ignore Ctrl-C in this process, because it reaches all processes of a terminal, and the main one decides.

    Programs that an environment starts inherit no handler, but would inherit SIG_IGN.
    """
    signal.signal(signal.SIGINT, lambda *_: None)


def cause_of(error: BaseException) -> str:
    """Return an exception in a line, without notes; SystemExit with its code."""
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r})"
    return f"{type(error).__name__}: {first_line(error, 'no message')}"


def notices_of(method: str, changes: Iterable[Change]) -> tuple[Notice, ...]:
    """Return a notice for each setting of torch that a method changed."""
    return tuple(
        Notice(
            f"torch {change.name}",
            f"{method} changed torch's {change.name} from {change.before} to {change.after}, for the learner too; it "
            f"was set back. The environment should {change.advice}.",
        )
        for change in changes
    )


def read_flag(value: Any, name: str) -> bool:
    """Return `terminated` or `truncated` as a bool; raise ContractError if it cannot be one."""
    try:
        return bool(value)
    except (TypeError, ValueError) as error:  # an array of several
        raise ContractError(f"{name} is {value!r}; the env must return a bool") from error
