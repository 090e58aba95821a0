"""What a submission to Robot SF needs besides rows: eligibility, candidate, registry entry, policy card, checksums.

Every value comes from the policy's files, the run's provenance.json and the summary; what they lack is "unknown".
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from dreamer_exp import __version__
from dreamer_exp.benchmark.summary import not_comparable, worst_first
from dreamer_exp.checkpoints.manifest import sha256
from dreamer_exp.config.errors import first_line
from dreamer_exp.envs.robot_sf.map_runner import (
    NAME,
    OBSERVATION_LEVEL,
    OBSERVATION_MODE,
    TRACK,
    TRACK_SCHEMA,
    checkout,
)
from dreamer_exp.formatting import number
from dreamer_exp.rundir.atomic import write_text
from dreamer_exp.rundir.plain_file import is_plain, is_plain_folder

UNKNOWN = "unknown"
ELIGIBILITY, CANDIDATE, REGISTRY, CARD, SUMS = (
    "eligibility.yaml", "candidate.yaml", "registry_entry.yaml", "policy_card.md", "SHA256SUMS",
)  # fmt: skip
GENERATED = ".generated"
"""Sums of the files as generated, SHA256SUMS too: a user who completes a file may correct its sum there."""
SCRIPT = "scripts/validation/check_learned_policy_eligibility.py"
CHECK_TIMEOUT_S = 120.0
COMMAND = "python -m dreamer_exp.benchmark <policy> protocol={protocol}"


@dataclass(frozen=True)
class Origin:
    """Where a policy comes from.

    Attributes:
        model_id: a stable name.
        description: policy.json.
        contract_hash: of its observations and actions.
        action_repeat: steps for which each action is applied.
        weights: policy.safetensors.
        sha256: of policy.safetensors.
        size_bytes: of policy.safetensors.
        environment: that it was trained in.
        provenance: the run's provenance.json; empty without a run.
    """

    model_id: str
    description: Mapping[str, Any]
    contract_hash: str
    action_repeat: int
    weights: Path
    sha256: str
    size_bytes: int
    environment: str = UNKNOWN
    provenance: Mapping[str, Any] | None = None

    def identity(self) -> dict[str, Any]:
        """Return the YAML that Robot SF reads as the planner's configuration, and hashes into each row."""
        extra = self.description["extra"]
        return {
            "model_id": self.model_id,
            "policy_sha256": self.sha256,
            "algorithm": self.description["algorithm"],
            "contract_hash": self.contract_hash,
            "action_repeat": self.action_repeat,
            "env_steps": extra.get("env_steps"),
            "updates": extra.get("updates"),
        }

    @property
    def commit(self) -> str:
        """The commit of dreamer_exp that trained it."""
        git = (self.provenance or {}).get("git")
        if not isinstance(git, Mapping):
            return UNKNOWN
        return str(git.get("commit") or UNKNOWN) + (" with uncommitted changes" if git.get("dirty") else "")

    @property
    def training(self) -> str:
        """How it was trained, in a line."""
        extra = self.description["extra"]
        steps = extra.get("env_steps")
        return (
            f"dreamer_exp {(self.provenance or {}).get('dreamer_exp', UNKNOWN)} at commit {self.commit}, "
            f"env={self.environment}, {steps if steps is not None else UNKNOWN} env steps"
        )


def write_submission(wanted: Path, origin: Origin, protocol: str, summary: Mapping[str, Any], rows: Path) -> list[str]:
    """Write the files; return the results of Robot SF's own checks and where the files are, a line each.

    Args:
        wanted: the folder; if it holds anything but what an earlier call generated, `<wanted>_2` and so on.
        origin: of the policy.
        protocol: name of the protocol.
        summary: of the policy's arm.
        rows: Robot SF's rows.
    """
    folder = next(each for each in _numbered(wanted) if _is_replaceable(each))
    write_text(folder / ELIGIBILITY, as_yaml(eligibility(origin, protocol)))
    write_text(folder / CANDIDATE, as_yaml(candidate(origin)))
    write_text(folder / REGISTRY, as_yaml([registry_entry(origin, protocol, summary)]))
    write_text(folder / CARD, policy_card(origin, protocol, summary))
    sums = {name: sha256(folder / name) for name in (ELIGIBILITY, CANDIDATE, REGISTRY, CARD)}
    elsewhere = {_relative(origin.weights, folder): origin.sha256, _relative(rows, folder): sha256(rows)}
    write_text(folder / SUMS, _sum_lines(elsewhere | sums))
    write_text(folder / GENERATED, _sum_lines({**sums, SUMS: sha256(folder / SUMS)}))
    kept = "" if folder == wanted else f"; {wanted} was edited and stays as it is"
    return [
        check_registry_entry(registry_entry(origin, protocol, summary)),
        check_eligibility(folder / ELIGIBILITY),
        f"Submission: {folder}{kept}",
    ]


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}_{index}") for index in count(2))


def _is_replaceable(folder: Path) -> bool:
    """Return whether a folder is missing, empty, or exactly as generated."""
    if not os.path.lexists(folder):
        return True
    if not is_plain_folder(folder):
        return False
    paths = {path.name: path for path in folder.iterdir()}
    if not paths:
        return True
    if not all(map(is_plain, paths.values())) or GENERATED not in paths:
        return False
    generated = paths.pop(GENERATED).read_bytes()
    names = (ELIGIBILITY, CANDIDATE, REGISTRY, CARD, SUMS)
    return set(paths) == set(names) and generated == _sum_lines({name: sha256(paths[name]) for name in names}).encode()


def _relative(path: Path, folder: Path) -> str:
    return os.path.relpath(path.resolve(), folder.resolve())


def _sum_lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def eligibility(origin: Origin, protocol: str) -> dict[str, Any]:
    """Return the form of Robot SF's checklist for learned local policies."""
    return {
        "verdict": "eligible_for_adapter",
        "model_id": origin.model_id,
        "observation_t": "decision step t, before the policy's action; the recurrent state holds steps before t only",
        "observation_fields": {
            "deployment_observable": ["DEFAULT_GYM drive_state", "DEFAULT_GYM rays"],
            "training_only": ["rewards and continue flags of the training environment"],
            "forbidden_evaluation_time": [],
        },
        "split_provenance": {
            "training_data_source": f"online episodes; {origin.training}",
            "validation_split": "seeds 900000 to 1099999 and Robot SF's development seeds 101 to 103, never trained on",
            "test_split": f"protocol {protocol}; seeds 111 to 140 are never trained on, its scenarios may be",
            "checkpoint_or_model_provenance": f"policy.safetensors, SHA-256 {origin.sha256}; {origin.training}",
            "privileged_training_inputs": "none; the network reads the same entries in training and evaluation",
            "privileged_training_inputs_enter_evaluation": False,
            "normalization_statistics": "none; inputs are scaled by constants (observation contract "
            f"{origin.contract_hash})",
            "normalization_statistics_fit_on_training_only": True,
            "evidence_source": "rows of robot_sf.benchmark run_map_batch; SHA256SUMS names them",
        },
        "action_contract": {
            "output_family": "velocity_command",
            "frame": "robot local frame",
            "units": "linear acceleration in m/s^2 and angular acceleration in rad/s^2, integrated by the environment",
            "bounds": "[-1, 1] each; the environment clips velocities to [0, 2] m/s and [-1, 1] rad/s",
            "kinematics_compatibility": "differential drive",
            "projection_policy": "actions are clipped to [-1, 1] by the policy; no other projection",
            "raw_to_robot_sf_action": f"native environment action, each applied for {origin.action_repeat} step(s)",
            "guard_or_projection_policy": "no guard, no shield, no fallback planner",
        },
        "per_step_logging": {
            "raw_model_action": "the command that the runner receives",
            "adapted_action": "equal to the raw action",
            "post_guard_action": "equal to the raw action",
            "guard_applied": "never",
            "guard_or_fallback_reason": "not applicable",
            "observation_level": OBSERVATION_LEVEL,
            "planner_observation_mode": OBSERVATION_MODE,
            "action_bounds": "[-1, 1] for both accelerations",
            "action_projection_metadata": "not applicable: the runner applies the action unchanged",
        },
        "candidate_registry": {
            "entry_planned": True,
            "candidate_config_path": f"configs/policy_search/candidates/{origin.model_id}.yaml",
            "adapter_path": "dreamer_exp/benchmark/planner.py",
            "smoke_or_validation_command": COMMAND.format(protocol="robot_sf_smoke"),
            "missing_checkpoint_policy": "fail closed before any episode",
            "unsupported_observation_policy": "fail closed unless the observation holds drive_state and rays within "
            "their bounds",
            "guard_activation_policy": "not applicable: there is no guard",
        },
        "benchmark_promotion": promotion(),
    }


def promotion() -> dict[str, Any]:
    """Return the observation track's metadata."""
    return {
        "claim_boundary": "benchmark_candidate",
        "benchmark_track": TRACK,
        "track_schema_version": TRACK_SCHEMA,
        "observation_level": OBSERVATION_LEVEL,
        "observation_mode": OBSERVATION_MODE,
        "allowed_observation_keys": ["drive_state", "rays"],
        "goal_encoding": "drive_state: distance and bearing of the current waypoint, turn to the next one",
        "sensor_geometry": "272 rays over 360 degrees, 10 m, with the simulator's default noise",
        "privileged_input_status": "no privileged inputs, neither in training nor in evaluation",
    }


def candidate(origin: Origin) -> dict[str, Any]:
    """Return the candidate's configuration."""
    return {"name": origin.model_id, "algo": NAME, "params": origin.identity()}


def registry_entry(origin: Origin, protocol: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entry for model/registry.yaml; the maintainer sets the place of the file."""
    return {
        "model_id": origin.model_id,
        "display_name": f"dreamer_exp {origin.description['algorithm']} on drive_state and rays",
        "local_path": f"output/model_cache/{origin.model_id}/policy.safetensors",
        "config_path": f"configs/policy_search/candidates/{origin.model_id}.yaml",
        "commit": origin.commit,
        "tags": ["dreamerv3", "world-model", "learned-policy", "lidar"],
        "benchmark_promotion": promotion(),
        "notes": [f"Trained by {origin.training}.", evidence(protocol, summary)],
        "artifact": {"file": "policy.safetensors", "sha256": origin.sha256, "size_bytes": origin.size_bytes},
        "licensing": "to be stated by the submitter",
    }


def evidence(protocol: str, summary: Mapping[str, Any]) -> str:
    """Return the result in a sentence, with its limits."""
    rates = {
        "success": "success",
        "collision": "collisions",
        "pedestrian": "ped_collision_count",
        "obstacle": "obstacle_collision_count",
        "timeouts": "timeout_rate",
    }
    listed = ", ".join(f"{name} {number(summary[key], '.4f')}" for name, key in rates.items())
    text = f"Protocol {protocol}: {summary['episodes']:,} episodes, {listed}"
    why = not_comparable(summary)
    return f"{text}. Incomplete: {why}." if why else f"{text}."


def policy_card(origin: Origin, protocol: str, summary: Mapping[str, Any]) -> str:
    """Return the policy card: the template's YAML, and the known failures."""
    worst = worst_first(summary)[:5]
    failures = [f"{name}: success {number(figures['success'], '.2f')}" for name, figures in worst]
    card = {
        "policy_id": origin.model_id,
        "policy_family": "lidar_policy",
        "card_status": "draft",
        "registry_status": {
            "integration_status": "adapter_needed",
            "reproducibility_status": "proposal",
            "benchmark_status": "comparison_available" if summary["complete"] else "smoke_only",
        },
        "benchmark_track": TRACK,
        "evidence_boundary": evidence(protocol, summary),
        "not_for": ["safety claims", "other sensors, robots or horizons"],
        "contracts": {
            "observation_contract": f"{OBSERVATION_MODE} / {OBSERVATION_LEVEL}: drive_state (3, 5), rays (3, 272); "
            f"contract {origin.contract_hash}",
            "action_contract": "native accelerations in [-1, 1] m/s^2 and rad/s^2, deterministic",
            "fallback_policy": "none; a fault of the policy fails the episode's row",
        },
        "artifacts": {
            "checkpoint_uri": "pending",
            "checkpoint_checksum": origin.sha256,
            "normalizer_uri": "not_required",
            "training_config": f"experiment.yaml of the run; {origin.training}",
            "training_data_or_split": "online episodes; seeds 101 to 103 and 111 to 140 are never trained on",
            "license_or_access": UNKNOWN,
        },
        "evidence": {"smoke": COMMAND.format(protocol="robot_sf_smoke"), "benchmark": evidence(protocol, summary)},
        "known_failures": failures,
        "review_notes": [f"Generated by dreamer_exp {__version__}."],
    }
    return f"# Policy card: `{origin.model_id}`\n\n```yaml\n{as_yaml(card)}```\n"


def as_yaml(tree: Any) -> str:
    """Return a tree as YAML, in its order."""
    text: str = yaml.safe_dump(tree, sort_keys=False, width=110, allow_unicode=True)
    return text


def check_registry_entry(entry: Mapping[str, Any]) -> str:
    """Return the result of Robot SF's check of a registry entry."""
    try:
        issues = import_module("robot_sf.models.registry").validate_registry_entry_benchmark_promotion(dict(entry))
        found = "; ".join(f"{issue.path} {issue.message}" for issue in issues)
    except (ImportError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        return f"{REGISTRY}: not checked, Robot SF's check is missing or broken ({first_line(error)})"
    return f"{REGISTRY}: " + (found or "passes Robot SF's check")


def check_eligibility(path: Path) -> str:
    """Return the result of Robot SF's script for an eligibility file, where its checkout has the script."""
    script = checkout() / SCRIPT
    if not script.is_file():
        return f"{ELIGIBILITY}: not checked, {script} is missing"
    command = [sys.executable, str(script), str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=CHECK_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{ELIGIBILITY}: not checked ({first_line(error)})"
    output = (done.stdout or done.stderr).strip().splitlines()
    if done.returncode == 0:
        return f"{ELIGIBILITY}: passes Robot SF's check"
    return f"{ELIGIBILITY}: " + ("; ".join(line.strip() for line in output[1:]) or f"exit code {done.returncode}")
