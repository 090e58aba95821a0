"""Processes of their own as workers."""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from dreamer_exp.environment_variables import environment_variables
from dreamer_exp.envs.boundary import ignore_ctrl_c
from dreamer_exp.evaluation.episodes import EvaluationEpisode
from dreamer_exp.evaluation.rollout import MakeRollouts, Rollouts
from dreamer_exp.evaluation.workers.base import SLICE_S, Answer, OpenWorkers, WorkerDied
from dreamer_exp.rundir.processes import killed_by

PRELOADED = ["torch", "dreamer_exp.evaluation.rollout"]  # imported once for all processes


class Processes:
    """A number of processes, which are forked from a server process. One that died is replaced at its next request.

    Args:
        make: builds the rollouts of each process; it is pickled.
        number: of processes.
    """

    def __init__(self, make: MakeRollouts, number: int) -> None:
        self._number, self.alive = number, tuple(range(number))
        self._make = pickle.dumps(make)
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        self._running: dict[int, tuple[BaseProcess, Any]] = {}
        with environment_variables({"OMP_NUM_THREADS": "1"}):  # numerical libraries read it when they are loaded
            for worker in self.alive:
                self._start(worker)

    def request(self, worker: int, episodes: Sequence[EvaluationEpisode]) -> None:
        """Send the episodes to the process."""
        if worker not in self._running:
            self._start(worker)
        with suppress(OSError):  # it died while it was idle, which `wait` reports
            self._running[worker][1].send(episodes)

    def wait(self) -> list[tuple[int, Answer]]:
        """Receive the answers."""
        workers = {end: worker for worker, (_, end) in self._running.items() if worker in self.alive}
        return [(workers[end], self._receive(workers[end])) for end in connection.wait(list(workers), SLICE_S)]

    def remake(self, make: MakeRollouts, number: int) -> None:
        """Let the processes build other rollouts; their libraries need not load and compile again.

        Args:
            make: as before.
            number: most processes that take requests now, of those that there are.
        """
        self._make = pickle.dumps(make)
        self.alive = tuple(range(min(number, self._number)))
        for _, end in self._running.values():
            with suppress(OSError):  # it died while it was idle; the one that replaces it builds them
                end.send(self._make)

    def close(self) -> None:
        """Kill the processes, which hold nothing to be kept."""
        for process, end in self._running.values():
            process.kill()
            end.close()
        for process, _ in self._running.values():
            process.join()

    def _start(self, worker: int) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=serve, args=(theirs,), daemon=True)
        process.start()
        theirs.close()
        with suppress(OSError):  # it died at once, which `wait` reports
            ours.send_bytes(self._make)
        self._running[worker] = process, ours

    def _receive(self, worker: int) -> Answer:
        process, end = self._running[worker]
        try:
            answer: Answer = pickle.loads(end.recv_bytes())
        except (EOFError, OSError):
            process.join()
            end.close()
            del self._running[worker]
            return WorkerDied(f"process {process.pid} {describe_exit(process.exitcode)}")
        return answer


@contextmanager
def processes(make: MakeRollouts, episodes: int, *, number: int) -> Iterator[Processes]:
    """Run the episodes in at most this number of processes."""
    with closing(Processes(make, min(number, episodes))) as workers:
        yield workers


@contextmanager
def kept_processes(number: int) -> Iterator[OpenWorkers]:
    """Yield what runs the episodes of several evaluations, one after the other, in the same processes.

    Their number is that of the first evaluation, at most `number` and one an episode.
    """
    with ExitStack() as stack:
        opened: list[Processes] = []

        @contextmanager
        def open_or_remake(make: MakeRollouts, episodes: int) -> Iterator[Processes]:
            if opened:
                opened[0].remake(make, episodes)
            else:
                opened.append(stack.enter_context(processes(make, episodes, number=number)))
            yield opened[0]

        yield open_or_remake


def describe_exit(code: int | None) -> str:
    """Return how a process ended."""
    by_signal = None if code is None else killed_by(code)
    return f"was {by_signal}" if by_signal else f"ended with exit code {code}"


def serve(end: Any) -> None:
    """Answer requests until the other end closes; the main function of a process."""
    ignore_ctrl_c()
    with suppress(EOFError, OSError):  # the main process has died
        make = end.recv_bytes()
        try:
            while True:
                with closing(pickle.loads(make)()) as rollouts:
                    make = _answer(rollouts, end)
        except Exception as error:  # noqa: BLE001  # raised again in the main process
            end.send_bytes(pickle.dumps(sendable(error)))


def _answer(rollouts: Rollouts, end: Any) -> bytes:
    """Answer requests until `remake` sends what builds other rollouts; return that."""
    while not isinstance(request := end.recv(), bytes):
        end.send_bytes(pickle.dumps(rollouts.advance(request, SLICE_S)))
    return request


def sendable(error: Exception) -> Exception:
    """Return the exception, or its text as a RuntimeError if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # noqa: BLE001  # an exception's own code can raise any
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
