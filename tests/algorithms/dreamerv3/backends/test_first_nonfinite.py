"""The first non-finite update of a call, and batches by name."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import NonFiniteWatch, arrays, batch_of, tensors
from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State

B, T = 2, 3
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def batch(seed: int) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    flags = {name: uniform(B, T) for name in ("reward", "is_first", "is_last", "is_terminal")}
    carry = State(uniform(B, 4), uniform(B, 5))
    return Batch(
        observation=uniform(B, T, 6), action=uniform(B, T, 2), previous_action=uniform(B, 2), carry=carry, **flags
    )


@pytest.mark.parametrize(
    ("device", "latch"), [("cpu", False), ("cpu", True), pytest.param("cuda", True, marks=needs_gpu)]
)
@pytest.mark.parametrize("broken", [0, 1, 3])
def test_the_first_non_finite_update_of_a_call_is_kept(device: str, latch: bool, broken: int) -> None:
    watch = NonFiniteWatch(torch.device(device), latch=latch)
    for seed in range(5):
        figure = 1.0 if seed < broken else float("inf") if seed == broken else float("nan")
        watch.check(torch.tensor([0.0, figure], device=device), on(device, batch(seed)))
    figures, kept = watch.figures_and_batch()
    assert (float(watch.first), figures) == (broken, [0.0, float("inf")])
    expected = tensors(batch(broken))
    assert all(torch.equal(value.cpu(), expected[name]) for name, value in tensors(kept).items())


def on(device: str, batch: Batch) -> Batch:
    return batch_of({name: value.to(device) for name, value in tensors(batch).items()})


def test_without_a_non_finite_update_first_is_minus_one() -> None:
    watch = NonFiniteWatch(torch.device("cpu"), latch=True)
    watch.check(torch.tensor([1.0]), batch(0))
    assert float(watch.first) == -1.0


def test_a_batch_survives_the_conversion_to_numpy() -> None:
    there = {name: torch.as_tensor(value) for name, value in arrays(batch(0)).items()}
    back = tensors(batch_of(there))
    assert back.keys() == tensors(batch(0)).keys()
    assert all(torch.equal(back[name], value) for name, value in tensors(batch(0)).items())
