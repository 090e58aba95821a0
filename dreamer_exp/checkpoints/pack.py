"""Packing of a trained policy for this package: `python -m dreamer_exp.checkpoints.pack RUN NAME limits=FILE`.

It writes dreamer_exp/pretrained/NAME: the weights, large ones in int8 with a scale for each row and the others in
float16, their description and manifest, experiment.yaml, and a card with data, seeds, figures, limits and hashes.
`acting_only=true` leaves out decoder, reward head and critics. `report=FILE` adds the figures of an evaluation report
to the card and can be repeated; `limits=FILE` is the text of its section of limits.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from dreamer_exp.checkpoints.manifest import COUNTS, MANIFEST, MAX_JSON_BYTES, BrokenCheckpoint, manifest, read_json
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS, described_environment, read_description
from dreamer_exp.checkpoints.policy_file import load_policy
from dreamer_exp.checkpoints.policy_source import PRETRAINED, PolicySource
from dreamer_exp.checkpoints.policy_tensors import SCALE, to_int8
from dreamer_exp.config.errors import UserError
from dreamer_exp.formatting import file_size, markdown_text
from dreamer_exp.rundir.atomic import replace_folder, write_bytes, write_json, write_text
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.metric_names import is_trained
from dreamer_exp.rundir.plain_file import read_plain
from dreamer_exp.rundir.reader import read_evaluations, read_tree

MAX_TOTAL_BYTES = 6_000_000  # of all policies of the package
MIN_INT8 = 4096  # numbers of a weight in int8: smaller ones, such as biases, save nothing
CARD = "card.md"
RATES = ("success", "pedestrian_collision", "wall_collision", "timeout")


def pack(source: PolicySource, folder: Path, limits: str, reports: Sequence[Path], acting_only: bool) -> None:
    """Write the policy and its card into a folder, which is replaced.

    Raises:
        UserError: A weight is not finite or does not fit float16, a file is not the report of an evaluation, or the
            package's policies would become too large.
    """
    counts = {name: source.manifest[name] for name in (*COUNTS, "contract_hash")}
    description = read_description(source.folder)
    description["extra"] = described_environment(source.folder, description["extra"]) | counts
    weights = _packed(source, acting_only)
    _refuse_large(folder, weights, acting_only)
    with replace_folder(folder) as temporary:
        write_bytes(temporary / TENSORS, weights)
        write_json(temporary / DESCRIPTION, description | ({"acting_only": True} if acting_only else {}))
        write_bytes(temporary / "experiment.yaml", read_plain(RunDirectory(source.root).experiment, MAX_JSON_BYTES))
        tree = manifest(temporary, counts)
        write_text(temporary / CARD, card(folder.name, source, tree, limits, reports))
        write_json(temporary / MANIFEST, tree)


def total_bytes(root: Path = PRETRAINED) -> int:
    """Return the size of all files of the package's policies."""
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def card(name: str, source: PolicySource, tree: Mapping[str, Any], limits: str, reports: Sequence[Path]) -> str:
    """Return the text of a policy's card.

    Args:
        name: of the policy.
        source: the run that trained it.
        tree: the manifest of the packed files.
        limits: the text of the section of limits.
        reports: evaluation reports of `dreamer-exp evaluate`, best of the packed policy.
    """
    origin, experiment = read_tree(RunDirectory(source.root).provenance), _experiment(source)
    summary = read_tree(RunDirectory(source.root).summary)
    algo, env, run = experiment["algo"], experiment["env"], experiment["run"]
    machine = origin.get("machine") or {}
    hardware = [*(origin.get("gpu_names") or []), f"{machine.get('cpus', '?')} CPUs"]
    facts = {
        "trained in": f"env={env['name']}, obs_contract={experiment['obs_contract']['name']}",
        "algorithm": f"{algo['name']}, size {algo.get('model_size', '?')}",
        "env steps, updates": f"{tree['env_steps']:,}, {tree['updates']:,}",
        "seed": run["seed"],
        "minutes": f"{summary.get('wall_time_s', 0) / 60:.1f}",
        "hardware": ", ".join(map(str, hardware)),
        "commit": (origin.get("git") or {}).get("commit", "?"),
        "began with": (origin.get("init") or {}).get("from", "random weights"),
    }
    rows = [f"| {key} | {markdown_text(str(value))} |" for key, value in facts.items()]
    hashes = [f"| `{file}` | {entry['bytes']:,} | `{entry['sha256']}` |" for file, entry in tree["files"].items()]
    return "\n".join(
        [
            f"# {name}",
            "",
            "| | |",
            "| --- | --- |",
            *rows,
            "",
            "## Figures",
            "",
            "With 95 % Wilson intervals over episodes.",
            "",
            "| env | episodes | success | pedestrian collision | wall collision | timeout |",
            "| --- | --- | --- | --- | --- | --- |",
            *_figures(source, tree["env_steps"], reports),
            "",
            "## Limits",
            "",
            limits.strip(),
            "",
            "## Files",
            "",
            "| file | bytes | SHA-256 |",
            "| --- | --- | --- |",
            *hashes,
            "",
        ]
    )


def _packed(source: PolicySource, acting_only: bool) -> bytes:
    kept = ("agent.encoder.", "agent.rssm.", "agent.actor.") if acting_only else ""
    weights = load_policy(source.folder).named_parameters()
    stored = [_rounded(name, weight.detach()) for name, weight in weights if name.startswith(kept)]
    tensors = dict(chain.from_iterable(stored))
    if not tensors:
        raise UserError("acting_only=true is for policies of algo=dreamerv3; pack the complete policy.")
    return save(tensors)


def _rounded(name: str, weight: Tensor) -> list[tuple[str, Tensor]]:
    """Return what the file has of a weight: rows of int8 and their scales, or the weight in float16."""
    if weight.ndim > 1 and weight.numel() >= MIN_INT8:
        rounded, scale = to_int8(weight)
        stored = [(name, rounded), (name + SCALE, scale)]
    else:
        stored = [(name, weight.half())]
    if not all(tensor.isfinite().all() for _, tensor in stored):
        raise UserError(f"{name} has a weight that is not finite, or that float16 cannot hold; it cannot be packed.")
    return stored


def _refuse_large(folder: Path, weights: bytes, acting_only: bool) -> None:
    others = sum(total_bytes(path) for path in folder.parent.glob("*") if path.is_dir() and path.name != folder.name)
    if others + len(weights) > MAX_TOTAL_BYTES:
        advice = "train" if acting_only else "use acting_only=true, or train"
        raise UserError(
            f"{folder.name}: {file_size(len(weights))} of weights, next to {file_size(others)} of other policies, are "
            f"more than the {file_size(MAX_TOTAL_BYTES)} of the package; {advice} a smaller algo.model_size."
        )


def _experiment(source: PolicySource) -> dict[str, Any]:
    return read_tree(RunDirectory(source.root).experiment)


def _figures(source: PolicySource, env_steps: int, reports: Sequence[Path]) -> list[str]:
    """Return a table's rows: of the run's evaluation at these env steps, and of each report."""
    env = _experiment(source)["env"]
    own = read_evaluations(RunDirectory(source.root).evaluation)
    found = [_figure(env, row) for row in own if is_trained(row) and row["env_steps"] == env_steps]
    return [*found, *map(_reported, reports)]


def _reported(report: Path) -> str:
    """Return the table's row of a report; raise UserError if the file has none."""
    try:
        tree = read_json(report)
        return _figure(tree["experiment"]["env"], tree["evaluations"][0])
    except BrokenCheckpoint as broken:
        raise UserError(f"report={broken}; name the JSON file of an evaluation.") from broken
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"report={report}: not the report of an evaluation; name its JSON file.") from error


def _figure(env: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    place = f"{env['name']} {env.get('scenario') or ''}".strip()
    rates = " | ".join(_rate(row, name) for name in RATES)
    return f"| {place}, {row.get('episodes_chosen', '')} | {row['episodes']} | {rates} |"


def _rate(row: Mapping[str, Any], name: str) -> str:
    low, high = row[f"{name}_interval_95"]
    return f"{row[f'{name}_rate']:.3f} ({low:.3f} to {high:.3f})"


if __name__ == "__main__":
    from dreamer_exp.cli.pack import main

    main()
