"""The description of an exported graph, as JSON inside the file."""

from typing import Any

import numpy as np

from dreamer_exp.exporting.graph import PolicyGraph
from dreamer_exp.policy.acting import Policy

KEY = "dreamer_exp_policy"  # of ONNX's metadata
EXTRA_FILE = "policy.json"  # in a TorchScript archive
FORMAT = 1


def metadata(policy: Policy, graph: PolicyGraph) -> dict[str, Any]:
    """Return the JSON values that a client needs: observation, action, noise, state and period."""
    info, contract, network = policy.info, policy.contract, policy.network
    entries = () if contract is None else contract.entries
    low, high = (graph.low, graph.high) if contract is None else (contract.low, contract.high)
    if contract is None and network.discrete:
        low, high = np.array([0]), np.array([network.action_size - 1])
    return {
        "format": FORMAT,
        "algorithm": info.algorithm,
        "contract_hash": info.contract_hash,
        "environment": info.environment,
        "env_steps": info.env_steps,
        "period_s": info.period_s,
        "action_repeat": info.action_repeat,
        "observation": {
            "size": policy.observation_size,
            "entries": [
                {
                    "key": entry.key,
                    "shape": list(entry.shape),
                    "start": entry.place.start,
                    "stop": entry.place.stop,
                    "unit": list(info.units.get(entry.key, (None, 1.0))),
                }
                for entry in entries
            ],
            "frames": "latest" if contract is not None and contract.latest else "all",
        },
        "action": {
            "kind": "discrete" if network.discrete else "box",
            "size": network.action_size,
            "low": low.tolist(),
            "high": high.tolist(),
        },
        "noise": {"uniform": network.stoch, "normal": graph.noise - network.stoch},
        "initial_state": {
            name: part[0].tolist()
            for name, part in zip(network.state_shapes, network.initial(1), strict=True)
            if part.any()
        },
        "state_shapes": {name: list(shape) for name, shape in network.state_shapes.items()},
    }
