"""The command `dreamer-exp benchmark RUN`: a trained policy in Robot SF's own benchmark, driven by its own runner."""

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.evaluate import number_of_workers, own_report, run_named_first, whole_number, writable
from dreamer_exp.cli.recompose import recompose
from dreamer_exp.cli.supervisor import supervise
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.config.schema import AUTO
from dreamer_exp.hardware import auto_processes, probe
from dreamer_exp.monitoring.logs import quiet
from dreamer_exp.training.signals import raise_on_signals

USAGE = """\
dreamer-exp benchmark RUN|POLICY [protocol=NAME] [workers=N] [baseline=goal,orca] [out=DIR]
                      [action_repeat=N]

Robot SF's own runner drives the policy, deterministically, and writes its own rows, which are
summarised as its campaigns do, next to its published figures. RUN is a run's directory (its best
checkpoint, else its latest) or a checkpoint; POLICY is a folder with policy.json and
policy.safetensors, or pretrained:NAME.

protocol: robot_sf_s30_h600 (the default: 48 scenarios x 30 seeds, as published), robot_sf_dev,
robot_sf_smoke, or a YAML file. workers=N runs the cells in N processes; by default (auto) there is
one for each physical core, as far as memory suffices. baseline adds Robot SF's own planners on the
same cells. Rows go into RUN/report/benchmark_<protocol>, or into DIR; the same command continues
after the rows that are there. action_repeat is that of the training: a RUN knows it.
"""
DEFAULT = "robot_sf_s30_h600"
WORDS = ("protocol", "workers", "baseline", "out", "action_repeat")
WIDTH = 110  # columns of output that goes into a file or a pipe
WORKER_BYTES = 1200 * 2**20
"""Memory of a process: Robot SF, its compiled code, torch."""


@dataclass(frozen=True)
class BenchmarkRequest:
    """The words of a command line.

    Attributes:
        path: a run's directory, a checkpoint, or a policy's folder.
        protocol: name or path.
        workers: number of processes; None for "auto".
        baselines: planners of Robot SF.
        out: the output folder; None for the default.
        action_repeat: None for that of the run or policy.
    """

    path: Path
    protocol: str = DEFAULT
    workers: int | None = None
    baselines: tuple[str, ...] = ()
    out: Path | None = None
    action_repeat: int | None = None


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Run the benchmark as the words ask; return the exit code: 1 if cells have no row."""
    supervise()
    raise_on_signals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        console = Console(highlight=False)
        if not console.is_terminal:
            console.width = WIDTH
        return benchmark(read_words(words), console)


def read_words(words: Sequence[str]) -> BenchmarkRequest:
    """Return the request of a command line.

    Raises:
        UserError: no policy is named, or a word is wrong.
    """
    path = run_named_first("benchmark", words[0])
    given: dict[str, str] = {}
    for word in words[1:]:
        name, sign, value = word.partition("=")
        if name not in WORDS or not sign or not value:
            raise UserError(f"{word}: benchmark takes {', '.join(f'{each}=' for each in WORDS)}.{nearest(name, WORDS)}")
        given[name] = value
    repeat = given.get("action_repeat")
    request = BenchmarkRequest(
        path,
        given.get("protocol", DEFAULT),
        number_of_workers(given.get("workers", AUTO)),
        tuple(given["baseline"].split(",")) if "baseline" in given else (),
        Path(given["out"]) if "out" in given else None,
        None if repeat is None else whole_number("action_repeat", repeat, "steps"),
    )
    if request.workers == 0 or request.action_repeat == 0:
        raise UserError(f"{'workers' if request.workers == 0 else 'action_repeat'}=0: it takes 1 or more.")
    return request


def benchmark(request: BenchmarkRequest, console: Console) -> int:
    """Run the benchmark; return 1 if cells have no row, else 0.

    Raises:
        UserError: Robot SF, the policy, the protocol or the folder cannot be used.
    """
    from dreamer_exp.benchmark.arm import Arm, baseline_arms
    from dreamer_exp.benchmark.origin import find_origin
    from dreamer_exp.benchmark.planner import contract_of_hash
    from dreamer_exp.benchmark.report import BenchmarkReport
    from dreamer_exp.benchmark.surface import read_surface
    from dreamer_exp.envs.robot_sf.map_runner import NAME, load_map_runner

    surface = read_surface(request.protocol)
    found = find_origin(request.path)
    root = found.run
    repeat = request.action_repeat
    if repeat is None and root is not None:
        repeat = recompose(root, []).env.action_repeat
    origin = found.origin if repeat is None else replace(found.origin, action_repeat=repeat)
    contract_of_hash(origin.contract_hash)
    arms = [Arm(NAME, replace(found.entrant, action_repeat=origin.action_repeat)), *baseline_arms([*request.baselines])]
    folder = writable(request.out or default_folder(root, request.path, surface.name))
    load_map_runner()
    surface.scenarios()  # a name that it lacks is refused before any process starts
    quiet("WARNING")
    number = request.workers or auto_processes(len(surface.cells), probe(), WORKER_BYTES + origin.size_bytes)
    report = BenchmarkReport(surface, origin, folder, console, number)
    return report.run(arms)


def default_folder(run: Path | None, path: Path, protocol: str) -> Path:
    """Return the output folder: in the run's report/, or in outputs/ for a policy without a run."""
    name = f"benchmark_{re.sub(r'[^A-Za-z0-9_.-]', '_', protocol)}"
    if run is not None:
        return own_report(run) / name
    return Path("outputs") / f"{name}_{path.resolve().name}"
