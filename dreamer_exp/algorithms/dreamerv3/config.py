"""`algo=dreamerv3`: its keys, what "auto" becomes, and the values that cannot work together."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from dreamer_exp.algorithms.dreamerv3.loss_scales import LOSS_SCALES, check_decoder_scales, check_loss_scales
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES, NetworkSize
from dreamer_exp.algorithms.rllib.base_config import BaseDreamerV3Config, check_base, smallest_replay, values_of
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment, Hardware
from dreamer_exp.config.schema import AUTO, key
from dreamer_exp.envs.contract import ObservationContract

# arXiv:2301.04104v2, table of hyperparameters
RATES = {"world_model_lr": 4e-5, "actor_lr": 4e-5, "critic_lr": 4e-5}
# how an update is computed under auto; a GPU that cannot run fused takes cuda_graph (backends/requirements.py)
ON_CPU = {"backend": "eager", "precision": "float32", "replay_device": "cpu"}
ON_GPU = {"backend": "fused", "precision": "tf32", "replay_device": AUTO}  # auto: until memory.py settles it


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; "auto" takes the number of algo.model_size (sizes.py)."""

    deter: int | str = key(AUTO, "recurrent units, a multiple of blocks", low=1)
    hidden: int | str = key(AUTO, "units of the recurrent core's inner layers", low=1)
    stoch: int | str = key(AUTO, "categorical variables of the latent state", low=1)
    classes: int | str = key(AUTO, "classes of each categorical", low=2, high=256)
    blocks: int | str = key(AUTO, "blocks of the recurrent weights", low=1)
    units: int | str = key(AUTO, "units of encoder, decoder and heads", low=1)
    encoder_layers: int | str = key(AUTO, "layers of the encoder", low=1)
    decoder_layers: int | str = key(AUTO, "layers of the decoder, its output not counted", low=1)
    prior_layers: int | str = key(AUTO, "layers of the prior, its output not counted", low=1)
    posterior_layers: int | str = key(AUTO, "layers of the posterior, its output not counted", low=1)
    reward_layers: int | str = key(AUTO, "layers of the reward head, its output not counted", low=1)
    continue_layers: int | str = key(AUTO, "layers of the continue head, its output not counted", low=1)
    actor_layers: int | str = key(AUTO, "layers of the actor, its output not counted", low=1)
    critic_layers: int | str = key(AUTO, "layers of the critic, its output not counted", low=1)


@dataclass(frozen=True)
class DreamerV3AlgoConfig(BaseDreamerV3Config):
    """DreamerV3 as published (Hafner et al., Nature 2025)."""

    name: str = key("dreamerv3", "the algorithm", choices=("dreamerv3",))
    model_size: str = key(
        "XS",
        "the published sizes (1M to 200M), XS (4.3M) and nano; S, M, L and XL are 12M, 25M, 50M and 200M",
        choices=tuple(SIZES),
    )
    world_model_lr: int | float | str = key(AUTO, "learning rate of the world model; auto: 4e-5", above=0)
    actor_lr: int | float | str = key(AUTO, "learning rate of the actor; auto: 4e-5", above=0)
    critic_lr: int | float | str = key(AUTO, "learning rate of the critic; auto: 4e-5", above=0)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    backend: str = key(
        AUTO,
        "how an update is computed; cuda_graph: as one CUDA graph; fused: as a CUDA graph of Triton kernels, or "
        "cuda_graph if they cannot run; auto: fused on a GPU, else eager",
        choices=(AUTO, "eager", "cuda_graph", "fused"),
    )
    precision: str = key(
        AUTO,
        "of the matrix products; tf32: float32 ones rounded to TensorFloat-32, on a GPU; "
        "auto: tf32 on a GPU, else float32",
        choices=(AUTO, "float32", "tf32", "bfloat16"),
    )
    lr_warmup: int = key(1000, "updates over which the learning rates rise from 0", low=0)
    lr_decay_start: int = key(0, "updates after which the learning rates begin to fall", low=0)
    lr_decay_end: int = key(
        0, "updates after which they have fallen, linearly, to a tenth, where they remain; 0: they never fall", low=0
    )
    adaptive_grad_clip: float = key(0.3, "a gradient's norm over its tensor's, clipped", above=0)
    loss_scales: dict[str, float] = key(
        LOSS_SCALES, "weight of each loss; the rows of `loss/*` show the losses without it"
    )
    decoder_scales: dict[str, float] = key(
        {}, "weight of each observation entry in the decoder loss, by key of the contract; 1 where not named"
    )
    replay_device: str = key(
        AUTO,
        "where the replay is stored; auto: on the learner's GPU if the full replay takes less than half of its "
        "memory, else on the host",
        choices=(AUTO, "cpu", "cuda"),
    )


@dataclass(frozen=True)
class DreamerV3Algo(DreamerV3AlgoConfig):
    """DreamerV3AlgoConfig with every "auto" replaced.

    Two values wait until the observation's size is known (memory.py): an "auto" of `replay_device`, and a
    `replay_capacity` in bytes.
    """

    network: NetworkSize = SIZES["XS"]  # type: ignore[assignment]
    world_model_lr: float = RATES["world_model_lr"]
    actor_lr: float = RATES["actor_lr"]
    critic_lr: float = RATES["critic_lr"]
    replay_capacity: int = 1_000_000


def resolve(config: DreamerV3AlgoConfig, hardware: Hardware) -> DreamerV3Algo:
    """Return the config with a value for every "auto"."""
    return DreamerV3Algo(**resolved_values(config, hardware))


def resolved_values(config: DreamerV3AlgoConfig, hardware: Hardware) -> dict[str, Any]:
    """Return the config's values, with the network's sizes, the learning rates and the way to compute an update."""
    values = values_of(config, RATES) | {"network": resolve_network(config)}
    computing = ON_GPU if hardware.num_gpus_per_learner else ON_CPU
    return values | {name: word for name, word in computing.items() if values[name] == AUTO}


def resolve_network(config: DreamerV3AlgoConfig) -> NetworkSize:
    """Return the sizes of `model_size`, with the numbers that the user gave."""
    given = {name: value for name, value in asdict(config.network).items() if value != AUTO}
    return replace(SIZES[config.model_size], **given)


def check(experiment: Experiment) -> None:
    """Check values against each other.

    Raises:
        UserError: naming the first key that doesn't fit the others.
    """
    algo, hardware = resolved(experiment), experiment.hardware
    check_base(algo)
    if not isinstance(algo.replay_capacity, str):
        check_capacity(algo, hardware.num_envs)
    check_loss_scales(algo.loss_scales)
    if hardware.num_learners > 1:
        raise UserError(
            f"hardware.num_learners={hardware.num_learners}: algo=dreamerv3 learns in one process; use 0 (the main "
            "process) or 1, or algo=dreamerv3_rllib."
        )
    if algo.lr_decay_end and algo.lr_decay_end <= algo.lr_decay_start:
        raise UserError(
            f"algo.lr_decay_end={algo.lr_decay_end} has to be above algo.lr_decay_start={algo.lr_decay_start}, or 0 "
            "for learning rates that never fall."
        )
    if algo.network.deter % algo.network.blocks:
        raise UserError(
            f"algo.network.blocks={algo.network.blocks} has to divide algo.network.deter={algo.network.deter}."
        )
    if not hardware.num_gpus_per_learner:
        _check_without_gpu(algo)


def check_contract(experiment: Experiment, contract: ObservationContract) -> None:
    """Raise UserError if `algo.decoder_scales` names an entry that the contract lacks."""
    check_decoder_scales(resolved(experiment).decoder_scales, contract)


def check_capacity(algo: DreamerV3Algo, num_envs: int) -> None:
    """Raise UserError for a replay, in steps, without room for one sequence of each environment."""
    least = num_envs * (algo.batch_length_T + 1)
    if algo.replay_capacity < least:
        raise UserError(
            f"algo.replay_capacity={algo.replay_capacity} is too small: each of the {num_envs} environments "
            f"needs algo.batch_length_T + 1 = {algo.batch_length_T + 1} steps; at least {least:,}."
        )


def _check_without_gpu(algo: DreamerV3Algo) -> None:
    need_gpu = {"backend": ("cuda_graph", "fused"), "precision": ("tf32",), "replay_device": ("cuda",)}
    for name, values in need_gpu.items():
        if (value := getattr(algo, name)) in values:
            raise UserError(f"algo.{name}={value} needs a learner on a GPU: use hardware=cuda, or algo.{name}=auto.")


def resolved(experiment: Experiment) -> DreamerV3Algo:
    """Return the experiment's `algo`, which is this algorithm's."""
    assert isinstance(experiment.algo, DreamerV3Algo)
    return experiment.algo


def update_on_cpu(experiment: Experiment) -> DreamerV3Algo:
    """Return the options that compute the same update on the CPU, eagerly."""
    algo = smallest_replay(experiment, resolved(experiment))
    precision = "float32" if algo.precision == "tf32" else algo.precision
    return replace(algo, backend="eager", replay_device="cpu", precision=precision)
