"""The command `dreamer-exp export RUN OUT`: writes a policy as one graph, and checks that it acts as the policy."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console
from rich.table import Table

from dreamer_exp.cli.errors import CommandFailed, run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError, nearest
from dreamer_exp.formatting import file_size
from dreamer_exp.rundir.atomic import replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dreamer_exp.exporting.check import Agreement
    from dreamer_exp.exporting.formats import Arrays, Run
    from dreamer_exp.exporting.graph import PolicyGraph
    from dreamer_exp.policy.acting import Policy

USAGE = """\
dreamer-exp export RUN OUT [format=onnx|torchscript] [steps=N]

RUN is a run's directory (its best checkpoint, else its latest), a checkpoint or a policy's folder.
OUT/policy.onnx (or OUT/policy.pt) is one graph of any number N of robots:

    observation (N, O), state_* (N, ...), noise (N, K) -> action, next_* (N, ...), value (N,)

Observations are the environment's numbers in the order of the contract, actions the environment's.
The JSON text `dreamer_exp_policy` in the file's metadata (`policy.json` in a TorchScript archive)
has the contract's hash, keys and units, the period, the bounds of the actions, and the noise. The
file is compared with the policy over N steps (1000), and its latency is measured on one core.
A policy that was packed with acting_only=true has no critic, and its file no output value.
format=onnx needs the extra `export`.
"""

WORDS = {"format": "onnx", "steps": "1000"}


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Export as the words ask; return the exit code."""
    source, folder, given = read_words(words)
    export(source, folder, given["format"], int(given["steps"]), Console(highlight=False))
    return 0


def read_words(words: list[str]) -> tuple[Path, Path, dict[str, str]]:
    """Return the run, the folder of the export and the options of a command line.

    Raises:
        UserError: a path is missing, or a word or its value is unknown.
    """
    paths = [word for word in words if "=" not in word or Path(word).exists()]
    given = dict(WORDS)
    for word in words:
        key, _, value = word.partition("=")
        if word in paths:
            continue
        if key not in WORDS:
            raise UserError(f"{word}: {key!r} is not one of: {', '.join(WORDS)}.{nearest(key, list(WORDS))}")
        given[key] = value
    if len(paths) != 2:
        raise UserError(f"export takes a run and a folder to write, as `outputs/<run> out/`; given: {paths or 'none'}")
    if given["format"] not in ("onnx", "torchscript"):
        raise UserError(f"format={given['format']}: allowed are onnx and torchscript.")
    if not (given["steps"].isascii() and given["steps"].isdigit() and int(given["steps"])):
        raise UserError(f"steps={given['steps']}: it takes a whole number of at least 1.")
    return Path(paths[0]), Path(paths[1]), given


def export(source: Path, folder: Path, name: str, steps: int, console: Console) -> Path:
    """Write a policy in a format, compare the file with the policy, and print a table; return the file.

    Raises:
        UserError: there is no policy, a package is missing, or the folder cannot be written.
        CommandFailed: the file does not act as the policy; an earlier file stays.
    """
    from dreamer_exp.exporting.check import latency_ms  # torch
    from dreamer_exp.exporting.formats import FORMATS
    from dreamer_exp.exporting.graph import PolicyGraph
    from dreamer_exp.exporting.metadata import metadata
    from dreamer_exp.policy.load import load_policy

    form = FORMATS[name]
    form.require()
    policy, several = load_policy(source), load_policy(source, robots=3)
    graph = PolicyGraph(policy).eval()
    path = folder / form.file
    try:
        with replace_file(path) as temporary:
            console.print(f"writing {path}: some 10 s", soft_wrap=True, markup=False)
            if not policy.network.has_heads:
                console.print("the policy has no critic (acting_only): the file has no output value", soft_wrap=True)
            form.write(graph, metadata(policy, graph), temporary)
            run = form.open(temporary)
            agreement = check(policy, run, steps, path)
            check(several, run, max(1, steps // 10), path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); name another folder.") from error
    table = Table(box=None)
    for column in ("file", "size", "ms a step", "eager torch", "largest difference", "other latents"):
        table.add_column(column, justify="left" if column == "file" else "right")
    eager = latency_ms(policy, eager_run(graph))
    table.add_row(
        form.file,
        file_size(path.stat().st_size),
        f"{latency_ms(policy, run):.2f}",
        f"{eager:.2f}",
        f"{agreement.largest:.1e}",
        f"{agreement.redrawn} of {steps} steps",
    )
    console.print(table)
    return path


def check(policy: "Policy", run: "Run", steps: int, path: Path) -> "Agreement":
    """Return how far a file is from its policy; raise CommandFailed if it does not act as the policy."""
    from dreamer_exp.exporting.check import TOLERANCE, compare

    found = compare(policy, run, steps)
    if found.is_equal:
        return found
    raise CommandFailed(
        f"{path}: differs from the policy by {found.largest:.1e} (allowed: {TOLERANCE:.0e}), its values are off by "
        f"{found.value:.1e} (the policy's own by {found.own_value:.1e}), and it drew another latent in "
        f"{found.redrawn} of {found.steps} steps; it was not written."
    )


def eager_run(graph: "PolicyGraph") -> "Run":
    """Return a function that computes the graph in eager torch."""
    import torch

    def run(inputs: "Sequence[NDArray[Any]]") -> "Arrays":
        with torch.inference_mode():
            return [output.numpy() for output in graph(*map(torch.from_numpy, inputs))]

    return run
