"""The algorithm as dreamer_exp uses it."""

from dataclasses import replace
from pathlib import Path

from decayed_dreamer.config import DecayedDreamerConfig, resolve
from dreamer_exp.algorithms.dreamerv3 import spec as dreamerv3
from dreamer_exp.algorithms.protocol import Implementation


def load() -> Implementation:
    """Import the implementation, with ray and torch."""
    from decayed_dreamer.learner import configure
    from dreamer_exp.algorithms.dreamerv3.implementation import IMPLEMENTATION

    return replace(IMPLEMENTATION, configure=configure)


SPEC = replace(
    dreamerv3.SPEC,
    name="dreamerv3_decay",
    config=DecayedDreamerConfig,
    resolve=resolve,
    load=load,
    metrics={**dreamerv3.METRICS, "weight_norm": "norm"},
    conf=Path(__file__).parent / "conf",
)
