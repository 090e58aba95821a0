"""Programs of the package as a user starts them: each in a process of its own, without the seconds of the imports.

A server, one for each pytest worker and set of imports, has imported what the program needs; each program is a fork of
it, with its own directory, environment variables, output files and exit code. Tests of the imports themselves, of
interrupts meanwhile, and of what a first import prints start Python instead.
"""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from tests.paths import CHECKOUT

SERVER = CHECKOUT / "tests" / "program_server.py"
TIMEOUT_S = 300
COMMANDS = (
    "dreamer_exp.cli.train",
    "dreamer_exp.cli.recompose",
    "dreamer_exp.planning.dry_run",
    "dreamer_exp.rundir.provenance",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher",
    *(".".join(path.relative_to(CHECKOUT).parts[:-1]) + ".spec" for path in CHECKOUT.glob("dreamer_exp/*/*/spec.py")),
)
TRAINING = (*COMMANDS, "dreamer_exp.training.run")


class Server:
    """A process with imports, which forks itself for each program."""

    def __init__(self, imports: tuple[str, ...]) -> None:
        words = [sys.executable, "-P", str(SERVER), *imports]  # -P: tests/ holds no modules for it
        self.process = subprocess.Popen(
            words, env=own_environment(), cwd="/", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        atexit.register(self.process.kill)

    def run(self, request: dict[str, Any]) -> int:
        """Run one program and return its exit code, or the negative number of the signal that ended it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


_server = cache(Server)


def own_environment() -> dict[str, str]:
    """Return this process's variables with the checkout on the path, less the token of a Ray that a test has started.

    Ray's core reads the token once, at its import.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    return {**kept, "PYTHONPATH": str(CHECKOUT)}


def run(
    *words: str,
    module: str = "dreamer_exp",
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    trains: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m <module> <words>` to its end.

    Args:
        words: the words after the module.
        module: the module to run.
        cwd: its directory; by default this process's.
        env: its environment variables, complete; by default this process's with the checkout on the path.
        trains: whether it needs ray and torch.
    """
    environment = own_environment() if env is None else dict(env)
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        code = _server(TRAINING if trains else COMMANDS).run(
            {"module": module, "words": words, "cwd": str(cwd or Path.cwd()), "env": environment,
             "out": str(out), "err": str(err), "timeout_s": TIMEOUT_S}
        )  # fmt: skip
        texts = [path.read_text(encoding="utf-8", errors="surrogateescape") for path in (out, err)]
    return subprocess.CompletedProcess([sys.executable, "-m", module, *words], code, *texts)
