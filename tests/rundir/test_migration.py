"""Files of release 0.1 are read as if they were written today."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dreamer_exp.rundir.formats import current_format
from dreamer_exp.rundir.migration import migrate
from dreamer_exp.rundir.reader import RunReader

ALGO = {  # as release 0.1 wrote it, shortened
    "name": "dreamerv3",
    "learner": "fast",
    "network": {"deter": 64},
    "kernels": "graph",
    "precision": "tf32",
    "gamma": 0.9,
    "lr_warmup": 5,
    "adaptive_grad_clip": 0.3,
    "replay_device": "cuda",
    "intrinsic_rewards_scale": 0.1,
    "world_model_grad_clip_by_global_norm": 1000.0,
    "actor_grad_clip_by_global_norm": 100.0,
    "critic_grad_clip_by_global_norm": 100.0,
}


def migrated(**changes: Any) -> dict[str, Any]:
    algo: dict[str, Any] = migrate("experiment.yaml", {"fingerprint": "x", "algo": {**ALGO, **changes}})["algo"]
    return algo


def test_learner_fast_becomes_dreamerv3_without_the_stock_keys() -> None:
    algo = migrated()

    assert (algo["name"], algo["backend"], algo["gamma"], algo["network"]) == (
        "dreamerv3",
        "cuda_graph",
        0.9,
        {"deter": 64},
    )
    assert not {"learner", "kernels", "intrinsic_rewards_scale"} & set(algo)
    assert algo["loss_scales"]["representation"] == 0.1


def test_learner_rllib_becomes_dreamerv3_rllib_without_the_published_keys() -> None:
    algo = migrated(learner="rllib", network=None)

    assert algo["name"] == "dreamerv3_rllib"
    assert set(algo) == {
        "name",
        "gamma",
        "intrinsic_rewards_scale",
        "world_model_grad_clip_by_global_norm",
        "actor_grad_clip_by_global_norm",
        "critic_grad_clip_by_global_norm",
    }


@pytest.mark.parametrize(("kernels", "backend"), [("eager", "eager"), ("graph", "cuda_graph"), ("fused", "fused")])
def test_provenance_names_the_backend(kernels: str, backend: str) -> None:
    tree = migrate("provenance.json", {"kernels": kernels, "resumes": [{"kernels": kernels}, "?"], "python": "3.11"})

    assert tree == {"backend": backend, "resumes": [{"backend": backend}, "?"], "python": "3.11"}


@pytest.mark.parametrize("name", ["experiment.yaml", "provenance.json"])
def test_a_file_of_the_current_format_is_unchanged(name: str) -> None:
    tree = {"format": current_format(name), "algo": ALGO, "kernels": "graph"}

    assert migrate(name, tree) == tree


@pytest.mark.parametrize("algo", [None, 3, [], {}, {"learner": "other"}, {"learner": ["fast"]}, {"learner": None}])
def test_foreign_content_is_unchanged(algo: Any) -> None:
    assert migrate("experiment.yaml", {"algo": algo}) == {"algo": algo}


def test_the_reader_migrates(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text(yaml.safe_dump({"algo": ALGO}))
    (tmp_path / "provenance.json").write_text(json.dumps({"kernels": "graph"}))
    reader = RunReader()

    assert reader.tree(tmp_path / "experiment.yaml")["algo"]["backend"] == "cuda_graph"
    assert reader.tree(tmp_path / "provenance.json") == {"backend": "cuda_graph"}
    assert reader.faults == []


def test_a_newer_format_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text("format: 3\nalgo: {}\n")
    reader = RunReader()

    assert reader.tree(tmp_path / "experiment.yaml") == {}
    assert reader.faults == ["experiment.yaml: format=3 is unknown, allowed: 1, 2; update dreamer-exp"]


def test_an_old_experiment_was_evaluated_on_fixed_seeds() -> None:
    evaluation = migrate("experiment.yaml", {"algo": ALGO, "evaluation": {"episodes": 3}})["evaluation"]
    assert evaluation == {"episodes": 3, "protocol": "fixed_seeds", "max_parallel_envs": None}
