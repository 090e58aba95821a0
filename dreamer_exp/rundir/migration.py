"""Older versions of files in a run directory, brought up to the current one when they are read.

Release 0.1 wrote version 1, without a number. It had one algorithm with two learners: `algo.learner` was "fast" or
"rllib", every key of both was there, and the backend was called `kernels`.
"""

from collections.abc import Callable, Mapping
from typing import Any

ALGORITHMS = {"fast": "dreamerv3", "rllib": "dreamerv3_rllib"}
"""`algo.learner` of release 0.1 -> `algo.name`."""
_BACKENDS = {"graph": "cuda_graph"}
_ONLY = {  # keys of release 0.1 that one of its learners read and the other ignored
    "dreamerv3": ("network", "kernels", "precision", "lr_warmup", "adaptive_grad_clip", "replay_device"),
    "dreamerv3_rllib": (
        "intrinsic_rewards_scale",
        "world_model_grad_clip_by_global_norm",
        "actor_grad_clip_by_global_norm",
        "critic_grad_clip_by_global_norm",
    ),
}
_FIXED = {  # values that are keys since release 0.2
    "dreamerv3": {
        "loss_scales": {
            "decoder": 1.0,
            "reward": 1.0,
            "continue": 1.0,
            "dynamics": 1.0,
            "representation": 0.1,
            "actor": 1.0,
            "critic": 1.0,
            "critic_replay": 0.3,
        },
        "decoder_scales": {},
        "lr_decay_start": 0,
        "lr_decay_end": 0,
    },
    "dreamerv3_rllib": {},
}
_RUN: dict[str, Any] = {  # likewise
    "init_from": None,
    "init_scope": "all",
    "max_minutes": None,
    "max_env_steps": None,
    "stop_when": {},
}
_EVALUATION = {"protocol": "fixed_seeds", "max_parallel_envs": None}  # likewise


def migrate(name: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a file of this name in its current version.

    Content that is not what release 0.1 wrote is returned as it is.
    """
    migration = _MIGRATIONS.get(name)
    return migration(tree) if migration and tree.get("format", 1) == 1 else dict(tree)


def _experiment(tree: Mapping[str, Any]) -> dict[str, Any]:
    algo = tree.get("algo")
    if not isinstance(algo, Mapping) or str(algo.get("learner")) not in ALGORITHMS:
        return dict(tree)
    name = ALGORITHMS[algo["learner"]]
    foreign = {"learner", *(key for other, keys in _ONLY.items() if other != name for key in keys)}
    kept = {key: value for key, value in algo.items() if key not in foreign}
    kept |= {"name": name} | _FIXED[name]
    if "kernels" in kept:
        kept["backend"] = _backend(kept.pop("kernels"))
    evaluation = tree.get("evaluation")
    added = {"evaluation": _EVALUATION | dict(evaluation)} if isinstance(evaluation, Mapping) else {}
    if isinstance(run := tree.get("run"), Mapping):
        added["run"] = _RUN | dict(run)
    return {**tree, "algo": kept, **added}


def _provenance(tree: Mapping[str, Any]) -> dict[str, Any]:
    renamed = _renamed(tree)
    if isinstance(renamed.get("resumes"), list):
        renamed["resumes"] = [_renamed(entry) if isinstance(entry, dict) else entry for entry in renamed["resumes"]]
    return renamed


def _renamed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry with `backend` in the place of `kernels`."""
    return {
        ("backend" if key == "kernels" else key): _backend(value) if key == "kernels" else value
        for key, value in tree.items()
    }


def _backend(value: Any) -> Any:
    return _BACKENDS.get(value, value) if isinstance(value, str) else value


def _evaluation(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without SPL: it was relative to the route up to the goal's centre, and so 1 for every success."""
    return {**row, "spl": None}


_MIGRATIONS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "evaluation.jsonl": _evaluation,
    "experiment.yaml": _experiment,
    "requested.yaml": _experiment,
    "provenance.json": _provenance,
}
