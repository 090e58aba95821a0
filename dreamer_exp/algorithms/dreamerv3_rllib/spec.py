"""`algo=dreamerv3_rllib`: RLlib's stock DreamerV3."""

from dreamer_exp.algorithms.dreamerv3_rllib.config import DreamerV3RLlibAlgoConfig, check, resolve
from dreamer_exp.algorithms.spec import AlgorithmSpec

SPEC = AlgorithmSpec(
    name="dreamerv3_rllib",
    config=DreamerV3RLlibAlgoConfig,
    resolve=resolve,
    check=check,
    network_keys=("model_size", "symlog_obs"),
)
