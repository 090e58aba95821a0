"""`run.init_from`: a run that begins with weights of a trained policy.

The policy's files are data: reading them runs no code. What does not fit is refused before anything is made.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dreamer_exp.algorithms.spec import AlgorithmSpec, WeightScope, spec_of
from dreamer_exp.checkpoints.contract_difference import differences, shown
from dreamer_exp.checkpoints.policy_description import TENSORS, described_environment, read_description, read_weights
from dreamer_exp.checkpoints.policy_source import PolicySource, find_policy
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import printable
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.parse import leaves
from dreamer_exp.rundir.reader import read_tree

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a run begins with.

    Attributes:
        source: the policy.
        scope: `run.init_scope`.
        taken: parts of the network whose weights come from the policy.
        missing: parts within the scope that the policy's file lacks.
        other: parts outside of the scope.
        other_period: a line if the policy acted with another `env.action_repeat`, or "".
    """

    source: PolicySource
    scope: str
    taken: tuple[str, ...]
    missing: tuple[str, ...]
    other: tuple[str, ...]
    other_period: str = ""

    def __str__(self) -> str:
        fresh = [f"{_words(self.missing)} (not in its {TENSORS})"] if self.missing else []
        fresh += [f"{_words(self.other)} (run.init_scope={self.scope})"] if self.other else []
        random = f"; random: {', '.join(fresh)}" if fresh else ""
        return f"{_words(self.taken)} of {self.source}{random}; optimiser and replay begin empty"

    def warnings(self) -> list[str]:
        """Return a line if the policy lacks weights of the scope, and one if its steps were longer or shorter."""
        lacking = (
            f"run.init_from={printable(self.source.name)} has no weights of {_words(self.missing)}, which begin "
            "random: only a complete checkpoint has all."
        )
        return [*([lacking] if self.missing else []), *filter(None, [self.other_period])]

    def read(self) -> "dict[str, NDArray[np.float32]]":
        """Return the weights by name; imports ray and torch.

        Raises:
            UserError: The policy's files do not fit each other.
        """
        from dreamer_exp.checkpoints.policy_file import read_arrays

        return read_arrays(self.source.folder, self.taken)

    def record(self) -> dict[str, Any]:
        """Return the entry `init` of provenance.json."""
        manifest = self.source.manifest
        return {
            "from": self.source.name,
            "folder": str(self.source.folder),
            "scope": self.scope,
            "taken": list(self.taken),
            "random": [*self.missing, *self.other],
            "sha256": self.source.hashes,
            **{name: manifest[name] for name in ("env_steps", "updates", "contract_hash")},
        }


def find_initial_weights(experiment: Experiment, contract: ObservationContract) -> InitialWeights | None:
    """Return the weights that `run.init_from` names; None without it. Imports neither ray nor torch.

    Raises:
        UserError: There is no such policy, or its network or its observations are not those of the run; the message
            names everything that differs.
    """
    name, scope = experiment.run.init_from, experiment.run.init_scope
    if name is None:
        return None
    source, spec = _find(name), spec_of(experiment.algo)
    description = read_description(source.folder)
    extra = described_environment(source.folder, description["extra"])
    selected = _scope(spec, description["algorithm"], f"run.init_from={printable(name)}", scope)
    differing = [
        *_other_sizes(description, _description(experiment, contract, spec), selected),
        *_other_contract(extra.get("contract"), source.manifest["contract_hash"], contract, selected),
    ]
    if differing:
        raise UserError(
            f"run.init_from={printable(name)} does not fit run.init_scope={scope}: {', '.join(differing)}; use the "
            "policy's values, or another init_scope."
        )
    names = read_weights(source.folder / TENSORS).names
    taken = tuple(part for part in selected.parts if any(weight.startswith(f"{part}.") for weight in names))
    if not taken:
        raise UserError(f"run.init_from={printable(name)} has no weights of {_words(selected.parts)}; name another.")
    missing = tuple(part for part in selected.parts if part not in taken)
    other = tuple(part for part in spec.scopes["all"].parts if part not in selected.parts)
    return InitialWeights(source, scope, taken, missing, other, _other_period(source, extra, experiment))


def _find(name: str) -> PolicySource:
    try:
        return find_policy(name)
    except UserError as error:
        raise UserError(f"run.init_from: {error}") from error


def _other_period(source: PolicySource, extra: Mapping[str, Any], experiment: Experiment) -> str:
    """Compare with policy.json, which policies of older releases complete by experiment.yaml."""
    env = extra.get("environment") or read_tree(RunDirectory(source.root).experiment).get("env")
    there = env.get("action_repeat", 1) if isinstance(env, Mapping) else 1
    here = experiment.env.action_repeat
    if there == here:
        return ""
    return f"env.action_repeat={here}: the policy of run.init_from was trained with {shown(there)}."


def _scope(spec: AlgorithmSpec, trained_by: str, key: str, scope: str) -> WeightScope:
    """Return the weights of the scope; raise UserError if the policy's have other names."""
    if scope not in spec.scopes:
        raise UserError(f"{key}: algo={spec.name} cannot begin with run.init_scope={scope}; remove run.init_from.")
    if find_spec("algorithms", trained_by).scopes.get(scope) != spec.scopes[scope]:
        raise UserError(
            f"{key} was trained by algo={trained_by}, whose weights have other names than those of algo={spec.name}: "
            f"use algo={trained_by}, or a policy of {spec.name}."
        )
    return spec.scopes[scope]


def _description(experiment: Experiment, contract: ObservationContract, spec: AlgorithmSpec) -> dict[str, Any]:
    """Return what policy.json will say of the run's network."""
    return {
        **spec.network(experiment.algo),
        "observation_size": contract.size,
        "action": {"kind": contract.action.kind, "size": contract.action.size},
    }


def _other_sizes(there: Mapping[str, Any], here: Mapping[str, Any], scope: WeightScope) -> Iterator[str]:
    """Yield each size that differs."""
    before, now = leaves(there), leaves(here)
    for key in now:
        if any(f"{key}.".startswith(f"{size}.") for size in scope.sizes) and before.get(key) != now[key]:
            yield f"{key} is {shown(before.get(key))} there and {shown(now[key])} here"


def _other_contract(recorded: Any, hash_there: str, contract: ObservationContract, scope: WeightScope) -> list[str]:
    """Return each entry of the observation that differs, and the actions if the scope depends on them.

    Without the policy's contract as recorded, only the hashes can be compared.
    """
    if hash_there == contract.hash:
        return []
    found = differences(recorded, hash_there, contract)
    relevant = [each for each in found if "action" in scope.sizes or not each.name.startswith("action.")]
    if found and not relevant:
        return []
    return list(map(str, relevant)) or [
        f"the contract of observations and actions is {shown(hash_there)} there and {contract.hash} here"
    ]


def _words(parts: tuple[str, ...]) -> str:
    """Return the parts as text, without what their names have in common."""
    return ", ".join(part.rpartition(".")[2] for part in parts)
