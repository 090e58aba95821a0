"""Measure the start-up time of --help, of a dry run, and of a run with one update.

    python benchmarks/startup.py [--repeats N]

Every figure is the median of several starts. Ratios are relative to `python -c "import hydra, gymnasium"`, which every
command needs.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

RUN = (sys.executable, "-m", "dreamer_exp")
ONE_UPDATE = ("algo.model_size=nano", "algo.batch_size_B=4", "algo.batch_length_T=8", "run.train_iterations=1",
              "evaluation=none", "tracking=none", "run.log_level=WARNING", "hardware=cpu")  # fmt: skip
REFERENCE = "import hydra, gymnasium"
CASES = {
    REFERENCE: (sys.executable, "-c", REFERENCE),
    "--help": (*RUN, "--help"),
    "dry_run=true": (*RUN, "dry_run=true"),
    "one update, checkpoint and summary (nano)": (*RUN, *ONE_UPDATE),
}


def seconds(command: tuple[str, ...], folder: str) -> float:
    """Return the wall time of one start, in seconds."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of each command")
    repeats = parser.parse_args().repeats
    table = Table(title=f"Start-up, median of {repeats}")
    for heading in ("command", "seconds", "slowest", "ratio"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    reference = None
    with tempfile.TemporaryDirectory() as folder:
        for name, command in CASES.items():
            durations = [seconds(command, folder) for _ in range(repeats)]
            median = statistics.median(durations)
            reference = reference or median
            table.add_row(name, f"{median:.2f}", f"{max(durations):.2f}", f"{median / reference:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
