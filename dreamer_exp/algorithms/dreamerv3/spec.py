"""`algo=dreamerv3`: DreamerV3 as published."""

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3AlgoConfig, check, check_contract, resolve
from dreamer_exp.algorithms.spec import AlgorithmSpec

SPEC = AlgorithmSpec(
    name="dreamerv3",
    config=DreamerV3AlgoConfig,
    resolve=resolve,
    check=check,
    check_contract=check_contract,
    overlaps_sampling=True,
    network_keys=("model_size", "network", "symlog_obs"),
)
