"""How long a user waits: the bare interpreter, --help, a dry run, and the first finished update.

    python benchmarks/startup.py [--repeats N]

Medians of several starts in one run; the ratio is against `python -c "import hydra, gymnasium"`, which no command of
this project can do without.
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
    """Wall time of one start."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    table = Table(title=f"Start-up, median of {repeats}")
    for heading in ("command", "seconds", "slowest", "ratio"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    reference = None
    with tempfile.TemporaryDirectory() as folder:
        for name, command in CASES.items():
            taken = [seconds(command, folder) for _ in range(repeats)]
            median = statistics.median(taken)
            reference = reference or median
            table.add_row(name, f"{median:.2f}", f"{max(taken):.2f}", f"{median / reference:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
