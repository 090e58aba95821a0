"""The command `dreamer-exp doctor`: versions, CPUs, GPUs, memory, environments and algorithms of this machine."""

import platform
from typing import NoReturn

from rich.console import Console
from rich.table import Table

from dreamer_exp import __version__, scratch
from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import find_plugins
from dreamer_exp.formatting import gibibytes
from dreamer_exp.hardware import probe
from dreamer_exp.rundir.provenance import PACKAGES, package_version

USAGE = """\
dreamer-exp doctor

Prints versions, CPUs, GPUs, memory, environments and algorithms of this machine, and what to do
about missing packages. The exit code is 0 whatever is missing.
"""


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE, needs_words=False)
def run(words: list[str]) -> int:
    """Print a table, and below it advice about what is missing; return 0.

    Raises:
        UserError: the command takes no words.
    """
    if words:
        raise UserError(f"{words[0]}: doctor takes no words; see dreamer-exp doctor --help.")
    rows, advice = diagnose()
    table = Table(title="dreamer_exp doctor", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text)
    console = Console(highlight=False)
    console.print(table)
    for line in advice:
        console.print(line, markup=False, soft_wrap=True)
    return 0


def diagnose() -> tuple[dict[str, str], list[str]]:
    """Return the rows of the table, and lines of advice. Imports torch and, if installed, Robot SF."""
    advice: list[str] = []
    named = [name for name in PACKAGES if name != "robot-sf"]  # its environment has a row
    advice += scratch.diagnose()
    rows = {
        "dreamer_exp": __version__,
        "Python": f"{platform.python_version()}, {platform.platform()}",
        "packages": ", ".join(f"{name} {package_version(name) or 'missing'}" for name in named),
        "torch's GPUs": _gpus(),
        **_machine(advice),
        "temporary folder": _temporary_folder(advice),
        **_environments(advice),
        "algorithms": _algorithms(advice),
    }
    return rows, advice


def _gpus() -> str:
    try:
        import torch
    except ImportError as error:
        return f"torch cannot be imported: {error}"
    if not torch.cuda.is_available():
        return f"none; torch {torch.__version__} uses the CPU"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _machine(advice: list[str]) -> dict[str, str]:
    try:
        machine = probe()
    except UserError as error:
        advice.append(str(error))
        return {"machine": "not readable, see below"}
    gpu_memory = machine.gpu_memory_bytes
    size = f"{gibibytes(gpu_memory)} on the first" if gpu_memory else "memory unknown"
    return {
        "CPUs": f"{machine.cpus} usable ({machine.sources['cpus']}), {machine.cpu_name}",
        "GPUs": f"{machine.gpus} visible ({machine.sources['gpus']})" + (f", {size}" if machine.gpus else ""),
        "memory": f"{machine.memory_available_bytes / 2**30:.1f} of {machine.memory_bytes / 2**30:.1f} GiB free",
    }


def _temporary_folder(advice: list[str]) -> str:
    try:
        return str(scratch.short_temporary_folder())
    except UserError as error:
        advice.append(str(error))
        return "none for Ray, see below"


def _environments(advice: list[str]) -> dict[str, str]:
    """Return one row for each environment and for each plug-in that cannot be loaded."""
    specs, unavailable, _ = find_plugins("envs")
    rows = {}
    for name, spec in specs.items():
        rows[f"env={name}"], advised = spec.diagnose()
        advice += [advised] if advised else []
    for name, reason in unavailable.items():
        rows.setdefault(f"env={name}", "unavailable, see below")
        advice.append(f"env={name}: {reason}")
    return rows


def _algorithms(advice: list[str]) -> str:
    """Return the names of the algorithms, those of plug-ins that cannot be loaded left out."""
    plugins = find_plugins("algorithms")
    advice += [f"algo={name}: {reason}" for name, reason in plugins.unavailable.items()]
    return ", ".join(plugins.specs)
