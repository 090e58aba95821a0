"""The command `dreamer-exp export RUN OUT`: writes a policy as one graph, and checks that it acts as the policy."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.table import Table

from dreamer_exp.cli.errors import CommandFailed, run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.formatting import file_size, markdown_text
from dreamer_exp.monitoring.episode_progress import EpisodeProgress
from dreamer_exp.monitoring.progress import LiveLine
from dreamer_exp.rundir.atomic import replace_file, write_text
from dreamer_exp.training.signals import raise_on_signals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dreamer_exp.config.experiment import Experiment
    from dreamer_exp.exporting.check import Agreement
    from dreamer_exp.exporting.formats import Arrays, Format, Run
    from dreamer_exp.exporting.graph import PolicyGraph
    from dreamer_exp.policy.acting import Policy, PolicyInfo

USAGE = """\
dreamer-exp export RUN OUT [format=onnx|torchscript] [dtype=float32,float16,int8] [steps=N]
                           [episodes=N]

RUN is a run's directory (its best checkpoint, else its latest), a checkpoint or a policy's folder.
OUT/policy.onnx (or OUT/policy.pt) is one graph of any number N of robots:

    observation (N, O), state_* (N, ...), noise (N, K) -> action, next_* (N, ...), value (N,)

Observations are the environment's numbers in the order of the contract, actions the environment's.
The JSON text `dreamer_exp_policy` in the file's metadata (`policy.json` in a TorchScript archive)
has the contract's hash, keys and units, the period, the bounds of the actions, and the noise. The
file is compared with the policy over N steps (1000), and its latency is measured on one core.
A policy that was packed with acting_only=true has no critic, and its file no output value.
format=onnx needs the extra `export`.

dtype=float16 stores the weights in half the bytes (OUT/policy_float16.onnx), dtype=int8 quantises
products dynamically (OUT/policy_int8.onnx); several are joined by commas. episodes=N drives N
episodes of the run's environment (or env=crowd_nav env.scenario=open) with the policy and with each
file, and writes their successes, sizes and latencies into OUT/card.md.
"""

WORDS = {"format": "onnx", "dtype": "float32", "steps": "1000", "episodes": "0", "trust": "false"}
COLUMNS = ("file", "size", "ms a step", "largest difference", "other latents")
SUCCESS_COLUMNS = ("success", "ended as the policy's")
CARD = "card.md"
DTYPES = ("float32", "float16", "int8")


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Export as the words ask; return the exit code."""
    raise_on_signals()
    export(read_words(words), Console(highlight=False))
    return 0


@dataclass(frozen=True)
class ExportRequest:
    """The words of a command line.

    Attributes:
        source: a run's directory, a checkpoint or a policy's folder.
        folder: of the files.
        format: of the files.
        dtypes: of the weights, one for each file.
        steps: that are compared.
        episodes: that are driven.
        env: words about their environment.
        trust: whether an environment may be imported that a file names.
    """

    source: Path
    folder: Path
    format: str = "onnx"
    dtypes: tuple[str, ...] = ("float32",)
    steps: int = 1000
    episodes: int = 0
    env: tuple[str, ...] = ()
    trust: bool = False


def read_words(words: list[str]) -> ExportRequest:
    """Return the run, the folder of the export and the options of a command line.

    Raises:
        UserError: a path is missing, or a word or its value is unknown.
    """
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    given = dict(WORDS)
    for word in words:
        key, _, value = word.partition("=")
        if word in paths or is_of_env(word):
            continue
        if key not in WORDS:
            raise UserError(f"{word}: {key!r} is not one of: {', '.join(WORDS)}.{nearest(key, list(WORDS))}")
        given[key] = value
    if len(paths) != 2:
        raise UserError(f"export takes a run and a folder to write, as `outputs/<run> out/`; given: {paths or 'none'}")
    if given["format"] not in ("onnx", "torchscript"):
        raise UserError(f"format={given['format']}: allowed are onnx and torchscript.")
    if given["trust"] not in ("true", "false"):
        raise UserError(f"trust={given['trust']}: allowed are true and false.")
    return ExportRequest(
        Path(paths[0]),
        Path(paths[1]),
        given["format"],
        _dtypes(given["dtype"], given["format"]),
        _whole_number("steps", given["steps"], 1),
        _whole_number("episodes", given["episodes"], 0),
        tuple(filter(is_of_env, words)),
        given["trust"] == "true",
    )


def is_of_env(word: str) -> bool:
    """Return whether a word of the command line is about the environment of the episodes."""
    return word.startswith(("env=", "env."))


def _dtypes(text: str, form: str) -> tuple[str, ...]:
    dtypes = tuple(dict.fromkeys(text.split(",")))
    if unknown := [dtype for dtype in dtypes if dtype not in DTYPES]:
        raise UserError(
            f"dtype={text}: {unknown[0]!r} is not one of: {', '.join(DTYPES)}.{nearest(unknown[0], DTYPES)}"
        )
    if form != "onnx" and dtypes != ("float32",):
        raise UserError(f"dtype={text}: format={form} has float32 only; use format=onnx.")
    return dtypes


def _whole_number(key: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise UserError(f"{key}={text}: it takes a whole number of at least {least}.")
    return int(text)


def export(request: ExportRequest, console: Console) -> None:
    """Write a policy's files, compare each with the policy, and print a table.

    Raises:
        UserError: there is no policy, a package is missing, or the folder cannot be written.
        CommandFailed: a file does not act as the policy; an earlier file stays.
    """
    from dreamer_exp.exporting.check import latency_ms  # torch
    from dreamer_exp.exporting.formats import FORMATS
    from dreamer_exp.exporting.graph import PolicyGraph
    from dreamer_exp.policy.load import load_policy

    form = FORMATS[request.format]
    form.require()
    policy = load_policy(request.source)
    experiment = experiment_of(request, policy) if request.episodes else None
    if not policy.network.has_heads:
        console.print("the policy has no critic (acting_only): the file has no output value", soft_wrap=True)
    eager_ms = latency_ms(policy, eager_run(PolicyGraph(policy).eval()))
    rows, runs = [["the policy in torch", "", f"{eager_ms:.2f}", "", ""]], []
    for dtype in request.dtypes:
        path = request.folder / form.file.replace(".", "." if dtype == "float32" else f"_{dtype}.")
        console.print(f"writing {path}: some 10 s", soft_wrap=True, markup=False)
        with LiveLine(console) as line:
            run, agreement = write_checked(request, form, dtype, path, line)
        runs.append(run)
        rows.append([
            path.name,
            file_size(path.stat().st_size),
            f"{latency_ms(policy, run):.2f}",
            f"{agreement.largest:.1e}",
            f"{agreement.redrawn} of {agreement.steps} steps",
        ])  # fmt: skip
    columns: Sequence[str] = COLUMNS
    if experiment is not None:
        columns = (*COLUMNS, *SUCCESS_COLUMNS)
        rows = [row + cells for row, cells in zip(rows, drive(policy, runs, experiment, request, console), strict=True)]
        write_text(request.folder / CARD, card(policy.info, request, columns, rows))
    table = Table(box=None)
    for column in columns:
        table.add_column(column, justify="left" if column == "file" else "right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def write_checked(
    request: ExportRequest, form: "Format", dtype: str, path: Path, line: LiveLine
) -> "tuple[Run, Agreement]":
    """Write a file; return how to run it, and how far it is from the policy. The line shows the steps compared.

    A file of float16 is also compared with the policy of these weights, to the tolerance of float32. What dtypes other
    than float32 differ from the policy is for the table only.

    Raises:
        UserError: the folder cannot be written.
        CommandFailed: the file does not act as the policy; an earlier file stays.
    """
    from dreamer_exp.exporting.check import compare
    from dreamer_exp.exporting.graph import PolicyGraph
    from dreamer_exp.exporting.metadata import metadata
    from dreamer_exp.exporting.precision import reduce_weights, round_weights
    from dreamer_exp.policy.load import load_policy

    policy, several = load_policy(request.source), load_policy(request.source, robots=3)
    graph = PolicyGraph(policy).eval()
    try:
        with replace_file(path) as temporary:
            form.write(graph, metadata(policy, graph), temporary)
            reduce_weights(temporary, dtype)
            run = form.open(temporary)
            agreement = compare(policy, run, request.steps, watch=steps_shown(line, "the policy", request.steps))
            if dtype == "int8":
                refuse_not_finite(agreement, path)
                return run, agreement
            exact, few = agreement, max(1, request.steps // 10)
            if dtype == "float16":
                round_weights(policy)
                round_weights(several)
                watch = steps_shown(line, "the policy in float16", request.steps)
                exact = compare(policy, run, request.steps, watch=watch)
            refuse_other(exact, path)
            refuse_other(compare(several, run, few, watch=steps_shown(line, "the policy for 3 robots", few)), path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another folder.") from error
    return run, agreement


def experiment_of(request: ExportRequest, policy: "Policy") -> "Experiment":
    """Return the experiment of a run in the episodes' environment; raise UserError if the policy does not fit it."""
    from dreamer_exp.checkpoints.policy_description import described_environment, read_description
    from dreamer_exp.checkpoints.policy_source import find_policy
    from dreamer_exp.cli.evaluate import check_contract
    from dreamer_exp.cli.recompose import recompose, refuse_import
    from dreamer_exp.envs.make import require

    source = find_policy(str(request.source))
    root, extra = source.root, read_description(source.folder)["extra"]
    experiment = recompose(root, list(request.env))
    refuse_import(experiment.env, root, ["trust=true"] if request.trust else request.env)
    require(experiment.env)
    recorded = described_environment(source.folder, extra).get("contract")
    check_contract(experiment, policy.info.contract_hash or "", policy.observation_size, recorded)
    return experiment


def drive(
    policy: "Policy", runs: "Sequence[Run]", experiment: "Experiment", request: ExportRequest, console: Console
) -> list[list[str]]:
    """Return the cells of the policy and of each file: successes, and episodes that ended as the policy's."""
    from dreamer_exp.exporting.success import Success, acts_as_file, acts_as_policy, env_of, outcomes_of
    from dreamer_exp.threads import one_thread

    total = request.episodes
    begins = {"the policy": acts_as_policy(policy)}
    begins |= {f"file {number} of {len(runs)}": acts_as_file(policy, run) for number, run in enumerate(runs, 1)}
    found = []
    for name, begin in begins.items():
        env = env_of(policy, experiment)
        with LiveLine(console) as line, one_thread():
            found.append(outcomes_of(env, begin, total, EpisodeProgress(name, total, line.show).count))
        env.close()
    counts = [Success.of(outcomes, found[0]) for outcomes in found]
    return [[f"{count.successes} of {total}", f"{count.same} of {total}"] for count in counts]


def card(info: "PolicyInfo", request: ExportRequest, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the text of card.md."""
    from dreamer_exp.exporting.success import FIRST_SEED

    lines = [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
    return "\n".join([
        f"# Exported policy of {markdown_text(str(request.source))}",
        "",
        f"Algorithm {info.algorithm}, environment {markdown_text(str(info.environment))}, {info.env_steps} env steps, "
        f"contract {markdown_text(str(info.contract_hash))}.",
        "",
        *lines,
        "",
        f"Times are CPU time of one thread, for one robot. Differences are over {request.steps} steps of random "
        "observations, where rounding can draw another latent. Episodes have the seeds from "
        f"{FIRST_SEED:,}; the policy and each file draw their latents from the same noise.",
        "",
    ])  # fmt: skip


def steps_shown(line: LiveLine, what: str, steps: int) -> Callable[[int], None]:
    """Return what shows the number of compared steps, and the seconds that are left."""
    began = time.monotonic()

    def show(done: int) -> None:
        left = (time.monotonic() - began) / done * (steps - done)
        line.show(f"compared with {what}: {done:,} of {steps:,} steps, {left:.0f} s left")

    return show


def refuse_other(found: "Agreement", path: Path) -> None:
    """Raise CommandFailed if a file does not act as its policy."""
    if found.is_equal:
        return
    raise CommandFailed(
        f"{path}: differs from the policy by {found.largest:.1e} (allowed: {found.allowed:.1e}), its values are off by "
        f"{found.value:.1e} (the policy's own by {found.own_value:.1e}), and it drew another latent in "
        f"{found.redrawn} of {found.steps} steps; it was not written."
    )


def refuse_not_finite(agreement: "Agreement", path: Path) -> None:
    """Raise CommandFailed if a file computed a number that is not finite."""
    if not math.isfinite(agreement.largest):
        raise CommandFailed(f"{path}: computes numbers that are not finite; it was not written.")


def eager_run(graph: "PolicyGraph") -> "Run":
    """Return a function that computes the graph in eager torch."""
    import torch

    def run(inputs: "Sequence[NDArray[Any]]") -> "Arrays":
        with torch.inference_mode():
            return [output.numpy() for output in graph(*map(torch.from_numpy, inputs))]

    return run
