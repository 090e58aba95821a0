"""A process with imports that forks itself for each program; tests/programs.py starts it and writes the requests.

Arguments: the modules to import. Each line of stdin is a request; the answer, a line of stdout, is the exit code.
"""

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import sys
import threading
import warnings
from typing import Any


def serve(answers: int) -> dict[str, Any] | None:
    """Fork for each request; return it in the child, and None in this process after the last."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            os.close(answers)
            return request
        os.write(answers, f"{_wait(child, request['timeout_s'])}\n".encode())
    return None


def _wait(child: int, timeout_s: float) -> int:
    """Return the exit code of a child, which is killed after the timeout."""
    signal.signal(signal.SIGALRM, lambda *_: os.kill(child, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def become(request: dict[str, Any]) -> None:
    """Take over what a new process has from its caller: directory, environment variables, arguments and files."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    writing = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY), (1, request["out"], writing), (2, request["err"], writing),
    ):  # fmt: skip
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.argv = [request["module"], *request["words"]]
    added = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path not in sys.path]
    sys.path[:0] = [request["cwd"], *added]
    importlib.invalidate_caches()


def run(module: str) -> int:
    """Run the module as the program; return the exit code after what Python does at its end."""
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException as error:  # noqa: BLE001  # as Python does with what a program raises
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    threading._shutdown()  # waits for threads, as Python does before its exit hooks
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Import, serve, and in a child run the program; freeing every module at its end would take a third of a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib makes a CartPole when it is imported, and Gymnasium warns of its dtypes
        for name in sys.argv[1:]:
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    answers = os.dup(1)
    request = serve(answers)
    if request is not None:
        become(request)
        os._exit(run(request["module"]))


if __name__ == "__main__":
    main()
