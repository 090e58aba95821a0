"""How the observation contract that a policy was trained with differs from another one, key by key."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamer_exp.encoders import VECTOR
from dreamer_exp.envs.contract import ObservationContract
from dreamer_exp.formatting import printable, shortened
from dreamer_exp.rundir.parse import leaves

ENCODER = ".encoder"  # end of the name of an entry's encoder
MOST = 4  # differences that a line names


@dataclass(frozen=True)
class Difference:
    """One value of the contract, by name ("rays.shape", "frames", "action.kind"), there and here as text."""

    name: str
    there: str
    here: str

    def __str__(self) -> str:
        return f"{self.name} is {self.there} there and {self.here} here"


def differences(recorded: Any, hash_there: str, contract: ObservationContract) -> list[Difference]:
    """Return what differs between a policy's contract, as policy.json records it, and this one.

    There is none if the record is missing, or not that of the hash.
    """
    if not isinstance(recorded, Mapping) or recorded.get("hash") != hash_there or hash_there == contract.hash:
        return []
    here = json.loads(json.dumps(contract.to_dict()))  # with lists for tuples, as recorded
    before, now = _leaves(recorded), _leaves(here)
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [Difference(name, shown(before.get(name)), shown(now.get(name))) for name in names]


def as_text(found: list[Difference]) -> str:
    """Return the first differences, and how many more there are."""
    more = f", and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(map(str, found[:MOST])) + more


def shown(value: Any) -> str:
    """Return a value as short text for a message."""
    return shortened(printable("missing" if value is None else str(value)), 60)


def _leaves(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return keys, shapes and bounds of the observation, frames, scaling and actions, by name."""
    entries = [entry for entry in tree.get("entries", ()) if isinstance(entry, Mapping)]
    sizes = {
        str(entry.get("key")): {"encoder": entry.get("encoder", VECTOR)}
        | {name: entry.get(name) for name in ("shape", "low", "high")}
        for entry in entries
    }
    kept = {name: tree.get(name) for name in ("frames", "scaling", "action")}
    return leaves({"obs_contract.keys": list(sizes), **sizes, **kept})
