"""Profile the driver of a DreamerV3 run: milliseconds of an iteration by part, as wall time and as CPU time.

    python benchmarks/driver_profile.py [--device cpu|cuda] [--size nano] [--ratio 1] [--runners 2] [--environments 56]
        [--fragment 16] [--iterations 30] [--overlap always] [--json] [words of the experiment ...]

A complete run (crowd_nav, no evaluation) in which the parts of the driver's loop are timed. Times are exclusive: a part
within another one is not counted there. "waits" are those for env runners and for the learner's updates; everything
else keeps the learner from working. A small network and ratio on a CPU show the driver alone. Figures are medians over
the iterations after the first fifth, of the main thread; "background" is the CPU time of this process's other threads,
which share Python's lock with it.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import hydra
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger

from dreamer_exp.algorithms.dreamerv3.algorithm import PublishedDreamerV3
from dreamer_exp.algorithms.dreamerv3.learner import AgentLearner
from dreamer_exp.config import compose, load
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.hardware import probe
from dreamer_exp.training import loop
from dreamer_exp.training import run as training_run

WAITS = ("wait for the fragment", "updates")
PARTS: dict[str, tuple[tuple[Any, str], ...]] = {
    "wait for the fragment": ((PublishedDreamerV3, "_sampled"),),
    "updates": ((AgentLearner, "learn"),),
    "replay insertion": ((AgentLearner, "add"), (AgentLearner, "insert")),
    "weights": ((PublishedDreamerV3, "_sync_weights"), (PublishedDreamerV3, "_new_weights")),
    "scenario weights": ((PublishedDreamerV3, "_send_scenario_weights"),),
    "connector states": ((PublishedDreamerV3, "_sync_states"),),
    "request": ((PublishedDreamerV3, "_request_fragment"),),
    "RLlib's metrics of env runners": ((MetricsLogger, "aggregate"),),
    "take in, rest": ((PublishedDreamerV3, "_take_in"),),
    "training step, rest": ((PublishedDreamerV3, "training_step"),),
    "RLlib's train(), rest": ((PublishedDreamerV3, "train"),),
    "row": ((loop, "count"),),
}
TRAIN = "RLlib's train(), rest"
REST = "loop, rest"


class Parts:
    """Exclusive times of the main thread by part, for each iteration."""

    def __init__(self) -> None:
        self.iterations: list[dict[str, tuple[float, float]]] = []
        self.background: list[float] = []
        self._open: list[tuple[str, float, float]] = []
        self._now: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self._clock = self._read()
        self._process = time.process_time() - time.thread_time()

    def wrap(self, owner: Any, name: str, part: str) -> None:
        """Time the calls of a function by the main thread."""
        function = getattr(owner, name)
        main = _thread()

        def timed(*args: Any, **kwargs: Any) -> Any:
            if _thread() != main:
                return function(*args, **kwargs)
            self._enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        setattr(owner, name, timed)

    def _enter(self, part: str) -> None:
        self._count()
        if part == TRAIN:
            self._end_iteration()
        self._open.append((part, 0.0, 0.0))

    def _leave(self) -> None:
        self._count()
        self._open.pop()

    def _count(self) -> None:
        """Count the time since the last call for the innermost open part."""
        now = self._read()
        taken = self._now[self._open[-1][0] if self._open else REST]
        taken[0] += now[0] - self._clock[0]
        taken[1] += now[1] - self._clock[1]
        self._clock = now

    def _end_iteration(self) -> None:
        background = time.process_time() - time.thread_time()
        self.iterations.append({part: (wall, cpu) for part, (wall, cpu) in self._now.items()})
        self.background.append(background - self._process)
        self._process = background
        self._now.clear()

    @staticmethod
    def _read() -> tuple[float, float]:
        return time.perf_counter(), time.thread_time()


def main() -> None:
    options = parse_arguments()
    experiment = make_experiment(options)
    parts = Parts()
    for part, places in PARTS.items():
        for owner, name in places:
            if hasattr(owner, name):
                parts.wrap(owner, name, part)
    if hasattr(training_run, "count"):
        training_run.count = loop.count
    contract = contract_of(experiment.env, experiment.obs_contract)
    with tempfile.TemporaryDirectory() as folder:
        training_run.train(experiment, contract, probe(), Path(folder) / "run")
    rows = table(parts)
    print_table(rows, experiment)
    if options.json:
        print(json.dumps(rows))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--size", default="nano")
    parser.add_argument("--ratio", type=float, default=1.0)
    parser.add_argument("--runners", type=int, default=2)
    parser.add_argument("--environments", type=int, default=56)
    parser.add_argument("--fragment", type=int, default=16)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--overlap", choices=["always", "never"], default="always")
    parser.add_argument("--json", action="store_true", help="also print JSON, as the last line")
    parser.add_argument("words", nargs="*", help="further words of the experiment")
    return parser.parse_args()


def make_experiment(options: argparse.Namespace) -> Experiment:
    words = [
        "algo=dreamerv3",
        "env=crowd_nav",
        f"hardware={options.device}",
        f"algo.model_size={options.size}",
        f"algo.training_ratio={options.ratio}",
        f"hardware.num_env_runners={options.runners}",
        f"hardware.num_envs_per_env_runner={options.environments}",
        f"hardware.rollout_fragment_length={options.fragment}",
        f"hardware.overlap_sampling={options.overlap}",
        f"run.train_iterations={options.iterations}",
        "run.checkpoint_every=1000000",
        "run.log_level=WARNING",
        "evaluation=none",
        "tracking=none",
        *options.words,
    ]
    compose.prepare()
    with hydra.initialize_config_dir(str(compose.config_dir()), version_base="1.3"):
        return load.load_experiment(hydra.compose("config", overrides=words), probe())


def table(parts: Parts) -> dict[str, dict[str, float]]:
    """Return the median milliseconds of an iteration by part."""
    first = max(2, len(parts.iterations) // 5)
    kept = parts.iterations[first:]
    names = [*PARTS, REST]
    rows = {
        name: {
            "wall_ms": _median_ms(each.get(name, (0.0, 0.0))[0] for each in kept),
            "cpu_ms": _median_ms(each.get(name, (0.0, 0.0))[1] for each in kept),
        }
        for name in names
        if any(name in each for each in kept)
    }
    iteration = [sum(wall for wall, _ in each.values()) for each in kept]
    busy = [each.get("updates", (0.0, 0.0))[0] for each in kept]
    idle = [[sum(times[at] for name, times in each.items() if name not in WAITS) for each in kept] for at in (0, 1)]
    rows["iteration"] = {"wall_ms": _median_ms(iteration), "busy": round(sum(busy) / sum(iteration), 3)}
    rows["driver"] = {"wall_ms": _median_ms(idle[0]), "cpu_ms": _median_ms(idle[1])}
    rows["background"] = {"cpu_ms": _median_ms(parts.background[first:])}
    return rows


def print_table(rows: dict[str, dict[str, float]], experiment: Experiment) -> None:
    hardware = experiment.hardware
    print(
        f"{hardware.num_env_runners} env runners x {hardware.num_envs_per_env_runner} environments x "
        f"{hardware.rollout_fragment_length} steps; medians, ms an iteration"
    )
    print(f"{'part':32} {'wall':>8} {'CPU':>8}")
    for name, row in rows.items():
        cells = " ".join(f"{row[key]:8.2f}" if key in row else " " * 8 for key in ("wall_ms", "cpu_ms"))
        print(f"{name:32} {cells}" + (f"   learner busy {row['busy']:.1%}" if "busy" in row else ""))
    sys.stdout.flush()


def _median_ms(seconds: Any) -> float:
    return round(1e3 * statistics.median(seconds), 2)


def _thread() -> int:
    import threading

    return threading.get_ident()


if __name__ == "__main__":
    main()
