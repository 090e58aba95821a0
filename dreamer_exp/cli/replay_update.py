"""`python -m dreamer_exp.replay_update FOLDER`: does an update again that diverged, on the CPU, and says where."""

import math
import sys
import warnings
from pathlib import Path

from rich.console import Console
from rich.table import Table

from dreamer_exp.cli.evaluate import recompose
from dreamer_exp.cli.train import report
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.make import contract_of

USAGE = """\
python -m dreamer_exp.replay_update FOLDER

FOLDER is a run's diagnostics/nonfinite_*. The weights are those from before the update where they were kept (a learner
on the CPU), else the checkpoint's that the folder names, else those that the run began with. Nothing is read with
pickle.
"""


def replay_update(folder: Path, console: Console) -> None:
    """Does the update, and prints its figures beside those of the run, and the first number that isn't finite.

    Raises:
        UserError: no such folder, or the run's environment has another contract now.
    """
    from dreamer_exp.checkpoints.policy_file import load_policy
    from dreamer_exp.monitoring.logs import quiet
    from dreamer_exp.training.divergence.replay import replay
    from dreamer_exp.training.divergence.report import read_diagnostics

    quiet("WARNING")  # after the imports, in which RLlib sets its own level
    folder = folder.resolve()
    try:
        found = read_diagnostics(folder)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no whole diagnostics ({error}); name a run's diagnostics/nonfinite_*.") from error
    experiment = recompose(folder.parents[1], [])
    contract = contract_of(experiment.env, experiment.obs_contract)
    if contract.hash != found.losses["contract_hash"]:
        raise UserError(f"{folder}: of contract {found.losses['contract_hash']}, and this run now has {contract.hash}.")
    weights = load_policy(found.weights).state_dict() if found.weights else None
    again = replay(experiment, contract, found.batch, weights, found.state)
    if again.figures:
        console.print(figures_table(found.losses["figures"], again.figures))
    else:  # RLlib's update
        console.print("It ends before it has losses, at a check of RLlib's or torch's own.", soft_wrap=True)
    where = f"the weights in {found.weights}" if found.weights else "the weights that the run began with"
    console.print(f"Update {found.losses['update']:,}, with {where}.", soft_wrap=True, markup=False)
    first = again.first or "none: with these weights every number is finite"
    console.print(f"First not finite: {first}", soft_wrap=True, markup=False)


def figures_table(then: dict[str, float | str], now: dict[str, float]) -> Table:
    """Each figure then and now; those that aren't finite in red."""
    table = Table()
    for heading in ("figure", "in the run", "again"):
        table.add_column(heading)
    for name, value in now.items():
        told = f"{value:.6g}" if math.isfinite(value) else f"[red]{value}"
        before = then.get(name, "")
        table.add_row(name, before if isinstance(before, str) else f"{before:.6g}", told)
    return table


def main() -> None:
    """The command line."""
    words = sys.argv[1:]
    if len(words) != 1 or {"--help", "-h"} & set(words):
        print(USAGE)
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # RLlib's and Gymnasium's at import (see __main__)
            replay_update(Path(words[0]), Console(highlight=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001  # the last frame of the program: told in one line, never swallowed
        sys.exit(report(error))


if __name__ == "__main__":
    main()
