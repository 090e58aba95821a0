"""Access to the files and processes of a running sweep."""

import subprocess
import time
from pathlib import Path

import psutil


def wait_for(folder: Path, pattern: str, process: subprocess.Popen[str]) -> Path:
    """Wait for a file in a sweep below a folder; return its path."""
    deadline = time.monotonic() + 300
    while not (found := list(folder.glob(f"multirun/*/{pattern}"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found[0]


def process_of(result: Path) -> psutil.Process:
    """Return the process that writes a job's rows."""
    (found,) = [each for each in psutil.process_iter(["cmdline"]) if str(result.parent) in (each.info["cmdline"] or [])]
    return found
