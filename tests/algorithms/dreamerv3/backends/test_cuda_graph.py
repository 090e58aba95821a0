"""The backend cuda_graph against eager: the same numbers, in one launch. Skipped without a GPU."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.cuda_graph import EAGER_CALLS, CudaGraphUpdate
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from tests.algorithms.dreamerv3.backends.test_eager import each_encoder

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

B, T, O, H = 8, 16, 40, 8  # noqa: E741  # the glossary's letters
KINDS = {"box": ActionKind(2, discrete=False), "discrete": ActionKind(3, discrete=True)}
both_kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def make_update(
    kind: ActionKind = KINDS["box"], *, parts: tuple[Part, ...] = (), bfloat16: bool = False, lr: float = 1e-4
) -> EagerUpdate:
    torch.manual_seed(0)
    agent = Agent(SIZES["1M"], parts[-1].stop if parts else O, kind, parts=parts).cuda()
    groups = [{"params": [parameter for parameter in agent.parameters() if parameter.requires_grad], "name": "all"}]
    return EagerUpdate(
        agent=agent,
        optimizer=LaProp(groups, lr=lr, warmup=5),
        returns=ReturnRange(torch.zeros((), device="cuda"), torch.zeros((), device="cuda")),
        config=LossConfig(horizon_H=H),
        generator=torch.Generator("cuda").manual_seed(1),
        bfloat16=bfloat16,
    )


def batches(update: EagerUpdate, count: int) -> list[Batch]:
    generator = torch.Generator("cuda").manual_seed(2)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, device="cuda")

    actions = update.agent.action.size
    return [
        Batch(
            observation=uniform(B, T, update.agent.observation_size),
            action=2 * uniform(B, T, actions) - 1,
            previous_action=2 * uniform(B, actions) - 1,
            reward=uniform(B, T),
            is_first=(uniform(B, T) < 0.05).float(),
            is_last=(uniform(B, T) < 0.05).float(),
            is_terminal=(uniform(B, T) < 0.02).float(),
            carry=update.agent.rssm.initial(B),
        )
        for _ in range(count)
    ]


def totals(update: EagerUpdate, count: int, *, graph: bool) -> torch.Tensor:
    call = CudaGraphUpdate(update) if graph else update
    return torch.stack([call(batch)[0]["total"].clone() for batch in batches(update, count)])


@both_kinds
@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
def test_captured_updates_equal_eager_ones_bit_for_bit(kind: ActionKind, bfloat16: bool) -> None:
    eager, captured = make_update(kind, bfloat16=bfloat16), make_update(kind, bfloat16=bfloat16)
    assert torch.equal(totals(eager, EAGER_CALLS + 7, graph=False), totals(captured, EAGER_CALLS + 7, graph=True))
    pairs = zip(eager.agent.parameters(), captured.agent.parameters(), strict=True)
    assert all(torch.equal(left, right) for left, right in pairs)


@each_encoder
@pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
def test_captured_updates_of_each_encoder_equal_eager_ones(
    parts: tuple[Part, ...], bfloat16: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)  # gradients of convolutions
    eager, captured = (make_update(parts=parts, bfloat16=bfloat16) for _ in range(2))
    call = CudaGraphUpdate(captured)
    for batch in batches(eager, EAGER_CALLS + 3):
        expected = {name: float(figure) for name, figure in eager(batch)[0].items()}
        figures = call(batch)[0]
        assert {"decoder/goal", "decoder/seen"} < set(figures)
        assert {name: float(figure) for name, figure in figures.items()} == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_another_thread_may_allocate_pinned_memory_and_wait_during_the_capture() -> None:
    captured, numbers = threading.Event(), itertools.count(1)

    def allocate() -> int:
        while not captured.is_set():
            torch.empty(next(numbers) << 12, pin_memory=True)
            event = torch.cuda.Event()
            event.record()
            event.synchronize()
        return next(numbers)

    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(allocate)
        found = totals(make_update(), EAGER_CALLS + 3, graph=True)
        captured.set()
        assert busy.result() > 2
    assert torch.equal(found, totals(make_update(), EAGER_CALLS + 3, graph=False))


def test_each_replay_draws_new_noise() -> None:
    update = make_update(lr=1e-12)
    call, (batch,) = CudaGraphUpdate(update), batches(update, 1)
    found = {float(call(batch)[0]["representation"] + call(batch)[0]["advantage"]) for _ in range(EAGER_CALLS + 5)}
    assert len(found) == EAGER_CALLS + 5


def test_a_replay_reads_its_batch() -> None:
    update = make_update(lr=1e-12)
    call = CudaGraphUpdate(update)
    decoders = [float(call(batch)[0]["decoder"]) for batch in batches(update, EAGER_CALLS + 5)]
    assert len(set(decoders[EAGER_CALLS:])) == 5


def test_tf32_and_bfloat16_stay_within_noise_of_float32_over_200_updates() -> None:
    exact = totals(make_update(), 200, graph=True)
    noise = exact[-50:].std()
    half = totals(make_update(bfloat16=True), 200, graph=True)
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        tensor_float = totals(make_update(), 200, graph=True)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert exact[-50:].mean() < 0.5 * exact[0]  # it learns
    for other in (half, tensor_float):
        assert (other[-50:].mean() - exact[-50:].mean()).abs() < noise
