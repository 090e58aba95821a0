"""The backend expected from the keys, before anything is built."""

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.protocol import Backend

TILE = 16  # rows of the smallest product on tensor cores
# limits of the kernels
SEQUENCES = 64  # sequences in a batch
DETER, BLOCK = 3072, 384  # recurrent units, and units in one block: the programs of a scan share a block's weights
WIDTH = 512  # units of a layer: one program normalises all of them
CLASSES, STOCH = 32, 64  # one program samples all classes of a categorical, and sums the inputs of all categoricals
BINS = 256  # bins of a two-hot value, with padding
INDICES = 2**31  # elements of a buffer


def expected_backend(algo: DreamerV3Algo) -> Backend:
    """Return the backend expected from the keys.

    The learner also checks the action space, Triton and the GPU, and may use `cuda_graph` instead (select.py).
    """
    why = why_not_fused(algo) if algo.backend == "fused" else ""
    return Backend("cuda_graph" if why else algo.backend, algo.precision, algo.backend, why)


def multiprocessors(algo: DreamerV3Algo) -> int | None:
    """Return the multiprocessors that the scans of the fused kernels take, one for each program; None without them.

    A program computes 16 recurrent units for 16 sequences (select.programs_on).
    """
    is_fused = expected_backend(algo).name == "fused"
    return algo.network.deter // TILE * algo.batch_size_B // TILE if is_fused else None


def why_not_fused(algo: DreamerV3Algo) -> str:
    """Return the first value that `backend=fused` doesn't support, and what it supports; "" if all are supported."""
    network = algo.network
    block, layer = network.deter // network.blocks, f"a multiple of {2 * TILE} up to {WIDTH}"
    of_blocks = f"algo.network.deter / algo.network.blocks = {network.deter} / {network.blocks} = {block}"
    latent = f"algo.network.stoch={network.stoch} x algo.network.classes={network.classes}"
    batch = algo.batch_size_B
    conditions = (
        # without tensor cores the forward scan takes 18 ms on an H200 instead of 0.8, so `cuda_graph` is as fast
        (algo.precision != "float32", f"algo.precision={algo.precision}", "tf32 or bfloat16"),
        (_fits(batch, TILE, SEQUENCES), f"algo.batch_size_B={batch}", f"a multiple of {TILE} up to {SEQUENCES}"),
        (network.deter <= DETER, f"algo.network.deter={network.deter}", f"up to {DETER}"),
        (_fits(block, TILE, BLOCK), of_blocks, f"a multiple of {TILE} up to {BLOCK}"),
        (_fits(network.hidden, 2 * TILE, WIDTH), f"algo.network.hidden={network.hidden}", layer),
        (_fits(network.units, 2 * TILE, WIDTH), f"algo.network.units={network.units}", layer),
        (network.classes <= CLASSES, f"algo.network.classes={network.classes}", f"up to {CLASSES}"),
        (network.stoch <= STOCH, f"algo.network.stoch={network.stoch}", f"up to {STOCH}"),
        *_countable(algo, network),
        (network.latent % TILE == 0, latent, f"a product that is a multiple of {TILE}"),
        (network.posterior_layers == 1, f"algo.network.posterior_layers={network.posterior_layers}", "1"),
        (algo.train_actor, f"algo.train_actor={algo.train_actor}", "True"),  # implies train_critic=True
    )
    return next((f"{value}, but fused supports {limit}" for fits, value, limit in conditions if not fits), "")


def _countable(algo: DreamerV3Algo, network: NetworkSize) -> tuple[tuple[bool, str, str], ...]:
    """Return the conditions on the number of states: the elements of the widest buffers must be below INDICES."""
    units, hidden, deter = network.units, network.hidden, network.deter
    replayed = algo.batch_size_B * (algo.batch_length_T + 1)
    imagined = replayed * (algo.horizon_H + 1)
    most = (INDICES - 1) // max(3 * deter, deter + network.latent, deter + 3 * hidden)
    most_imagined = (INDICES - 1) // max(3 * units, units + 2 * hidden, BINS)
    replayed_keys = f"algo.batch_size_B={algo.batch_size_B} x (algo.batch_length_T={algo.batch_length_T} + 1)"
    imagined_keys = f"{replayed_keys} x (algo.horizon_H={algo.horizon_H} + 1)"
    return (
        (replayed <= most, f"{replayed_keys} = {replayed}", f"up to {most}"),
        (imagined <= most_imagined, f"{imagined_keys} = {imagined}", f"up to {most_imagined}"),
    )


def _fits(size: int, multiple: int, most: int) -> bool:
    return size % multiple == 0 and size <= most
