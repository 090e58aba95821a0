"""LaProp over flat storage: norms, clipping, step, copy for products and slow critic, in four launches.

The arithmetic and the state in checkpoints are those of dreamerv3/optimizer.py. Sums are taken in a fixed order and
without atomics, so a step can be repeated bit for bit.
"""

import math
from collections.abc import Collection

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ALIGNMENT, Flat
from dreamer_exp.algorithms.dreamerv3.optimizer import DECAYED, GRADIENT_FLOOR, PARAMETER_FLOOR, LaProp

CHUNK = 2048  # elements that one program of a kernel over all parameters processes
PARTIALS = 2048  # sums of chunks that a program adds at a time
WARPS = 8

# Masks use lengths rounded up to the alignment: otherwise loads could not be made of full 16-byte words.


@triton.jit
def _sum_squares(values, gradients, chunks, partial, CHUNK: tl.constexpr, ALIGNMENT: tl.constexpr):  # noqa: PLR0917
    """Write each chunk's sums of squares, of gradient and of value: partial (chunks, 2)."""
    chunk = tl.program_id(0)
    start = tl.load(chunks + chunk * 4) * ALIGNMENT
    length = tl.load(chunks + chunk * 4 + 1)
    index = tl.arange(0, CHUNK)
    inside = index < (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    gradient = tl.load(gradients + start + index, mask=inside, other=0.0)
    gradient = tl.where(index < length, gradient, 0.0)
    value = tl.load(values + start + index, mask=inside, other=0.0)
    tl.store(partial + chunk * 2, tl.sum(gradient * gradient, 0))
    tl.store(partial + chunk * 2 + 1, tl.sum(value * value, 0))


@triton.jit
def _norms_and_factors(  # noqa: PLR0917
    partial, spans, norms, factors,
    CLIP: tl.constexpr, PARAMETER_FLOOR: tl.constexpr, GRADIENT_FLOOR: tl.constexpr,
    LONGEST: tl.constexpr, PARTIALS: tl.constexpr,
):  # fmt: skip
    """Write gradient norm and clipping factor of each span of chunks: a tensor, or a group (its factor is unused).

    All programs loop as long as the longest span, which the launch waits for anyway.
    """
    span = tl.program_id(0)
    first = tl.load(spans + span * 2)
    count = tl.load(spans + span * 2 + 1)
    index = tl.arange(0, PARTIALS)
    gradient = tl.zeros((PARTIALS,), tl.float32)
    value = tl.zeros((PARTIALS,), tl.float32)
    for done in range(0, LONGEST, PARTIALS):
        inside = done + index < count
        at = partial + (first + done + index) * 2
        gradient += tl.load(at, mask=inside, other=0.0)
        value += tl.load(at + 1, mask=inside, other=0.0)
    norm = tl.sqrt_rn(tl.sum(gradient, 0))
    limit = tl.sqrt_rn(tl.sum(value, 0))
    # `where` instead of `maximum`, which would drop a NaN that the eager optimiser passes on
    limit = tl.where(limit < PARAMETER_FLOOR, PARAMETER_FLOOR, limit) * CLIP
    factor = tl.div_rn(limit, tl.where(norm < GRADIENT_FLOOR, GRADIENT_FLOOR, norm))
    tl.store(norms + span, norm)
    tl.store(factors + span, tl.where(factor > 1.0, 1.0, factor))


@triton.jit
def _one_minus_exp(x):
    """Return 1 - exp(-x) of x >= 0 with the accuracy of expm1: by its series where the difference loses digits."""
    series = x * 0.0 + 1.0
    for i in tl.static_range(7):  # at 0.5, the terms from the eighth on are below 1e-8
        series = 1.0 - x * series * (1.0 / (8 - i))
    return tl.where(x < 0.5, x * series, 1.0 - tl.exp(-x))


@triton.jit
def _count_step(  # noqa: PLR0917
    step, schedule, DECAY1: tl.constexpr, DECAY2: tl.constexpr, WARMUP: tl.constexpr,
    FALL_START: tl.constexpr, FALL_END: tl.constexpr, FALL: tl.constexpr,
):  # fmt: skip
    """Increment the step; write schedule (2,): the factor of lr * momentum, and the bias of the root mean square."""
    count = tl.load(step) + 1.0
    tl.store(step, count)
    rate = tl.div_rn(count * 0.0 + 1.0, _one_minus_exp(count * DECAY1))
    if WARMUP > 0:
        rate = rate * tl.minimum(count * (1.0 / WARMUP), 1.0)
    if FALL_END > 0:
        fallen = tl.maximum((count - FALL_START) * (1.0 / (FALL_END - FALL_START)), 0.0)
        rate = rate * (1.0 - FALL * tl.minimum(fallen, 1.0))
    tl.store(schedule, rate)
    tl.store(schedule + 1, tl.sqrt_rn(_one_minus_exp(count * DECAY2)))


@triton.jit
def _update(  # noqa: PLR0917
    values, low, gradients, momenta, squares, chunks, factors, lrs, schedule,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr, SLOW_RATE: tl.constexpr,
    HAS_LOW: tl.constexpr, CHUNK: tl.constexpr, ALIGNMENT: tl.constexpr,
):  # fmt: skip
    """Update a chunk by LaProp and move its follower towards it, if there is one; write both to `low` too."""
    chunk = tl.program_id(0)
    start = tl.load(chunks + chunk * 4) * ALIGNMENT
    length = tl.load(chunks + chunk * 4 + 1)
    tensor = tl.load(chunks + chunk * 4 + 2)
    slow_start = tl.load(chunks + chunk * 4 + 3) * ALIGNMENT  # negative without a follower
    rate = tl.load(schedule)
    correction = tl.load(schedule + 1)
    lr = tl.load(lrs + tensor)
    factor = tl.load(factors + tensor)
    index = tl.arange(0, CHUNK)
    inside = index < (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    at = start + index
    value = tl.load(values + at, mask=inside, other=0.0)
    gradient = tl.load(gradients + at, mask=inside, other=0.0)
    momentum = tl.load(momenta + at, mask=inside, other=0.0)
    square = tl.load(squares + at, mask=inside, other=0.0)
    gradient = tl.where(index < length, gradient, 0.0) * factor
    square = square * BETA2 + gradient * gradient * (1.0 - BETA2)
    # exact root and quotient: the fast ones flush tiny squares to zero, and eps is too small to make up for that
    scaled = tl.div_rn(tl.sqrt_rn(square), correction) + EPS
    momentum = momentum * BETA1 + tl.div_rn(gradient, scaled) * (1.0 - BETA1)
    value = value - momentum * lr * rate
    tl.store(squares + at, square, mask=inside)
    tl.store(momenta + at, momentum, mask=inside)
    tl.store(values + at, value, mask=inside)
    follows = inside & (slow_start >= 0)
    slow_at = slow_start + index
    slow = tl.load(values + slow_at, mask=follows, other=0.0)
    slow = slow + (value - slow) * SLOW_RATE
    tl.store(values + slow_at, slow, mask=follows)
    if HAS_LOW:
        tl.store(low + at, value.to(low.dtype.element_ty), mask=inside)
        tl.store(low + slow_at, slow.to(low.dtype.element_ty), mask=follows)


class FusedLaProp:
    """LaProp for parameters in flat storage, by its gradients; a CUDA graph can capture a step.

    Momentum and square in the LaProp's state become views of flat buffers and keep their values, so its `state_dict`
    and `load_state_dict` stay those of a checkpoint. After loading one, call `load_learning_rates` and `Flat.refresh`.

    Args:
        flat: storage of the optimiser's parameters and no others.
        optimizer: its groups, constants and state.
        slow_rate: how far followers move towards their leaders after each step, 0 to 1.
        idle: names of groups without gradients; they don't move, have no norm and no moving follower.

    Raises:
        ValueError: storage and optimiser don't have the same parameters.
    """

    def __init__(self, flat: Flat, optimizer: LaProp, slow_rate: float, idle: Collection[str] = ()) -> None:
        self.flat, self.optimizer, self.slow_rate = flat, optimizer, slow_rate
        groups = {g.get("name", str(i)): g["params"] for i, g in enumerate(optimizer.param_groups) if g["params"]}
        if {parameter for members in groups.values() for parameter in members} != set(flat.parameters):
            raise ValueError("Flat storage and optimiser have different parameters.")
        self._groups: dict[str, list[nn.Parameter]] = {name: ps for name, ps in groups.items() if name not in idle}
        self.momentum, self.square = torch.zeros_like(flat.gradients), torch.zeros_like(flat.gradients)
        self._step = self._move_state()
        moving = [parameter for members in self._groups.values() for parameter in members]
        chunks, spans = _tables(flat, list(self._groups.values()))
        device = flat.values.device
        self._chunks = torch.tensor(chunks, dtype=torch.int32, device=device)
        self._spans = torch.tensor(spans, dtype=torch.int32, device=device)
        self._longest = max(count for _, count in spans)
        self._partial = torch.zeros(len(chunks), 2, device=device)
        self._norms, self._factors = torch.zeros(2, len(spans), device=device).unbind()
        self._schedule = torch.zeros(2, device=device)
        self._lrs = torch.zeros(len(moving), device=device)
        self._group_norms = dict(zip(self._groups, self._norms[len(moving) :].unbind(), strict=True))
        self._measured = self._scheduled = False
        self.load_learning_rates()

    def load_learning_rates(self) -> None:
        """Copy each group's learning rate from the optimiser; call it after changing one there."""
        lr_of = {parameter: group["lr"] for group in self.optimizer.param_groups for parameter in group["params"]}
        moving = [parameter for members in self._groups.values() for parameter in members]
        self._lrs.copy_(torch.tensor([lr_of[parameter] for parameter in moving]))

    def measure(self) -> None:
        """Compute the optimiser's `norms`, by which the next step clips; they stay the same tensors.

        No gradient or value may change between this and the step. Two launches.
        """
        flat, chunks, partial = self.flat, self._chunks, self._partial
        _sum_squares[(len(chunks),)](flat.values, flat.gradients, chunks, partial, CHUNK=CHUNK, ALIGNMENT=ALIGNMENT)
        _norms_and_factors[(len(self._spans),)](
            partial, self._spans, self._norms, self._factors,
            CLIP=self.optimizer.clip, PARAMETER_FLOOR=PARAMETER_FLOOR, GRADIENT_FLOOR=GRADIENT_FLOOR,
            LONGEST=self._longest, PARTIALS=PARTIALS, num_warps=WARPS,
        )  # fmt: skip
        self.optimizer.norms.update(self._group_norms)
        self._measured = True

    def schedule(self) -> None:
        """Count the next step; this depends on nothing else and can run at any time before it. One launch."""
        optimizer = self.optimizer
        decays = {"DECAY1": -math.log(optimizer.beta1), "DECAY2": -math.log(optimizer.beta2)}
        fall = {"FALL_START": optimizer.decay[0], "FALL_END": optimizer.decay[1], "FALL": 1.0 - DECAYED}
        _count_step[(1,)](self._step, self._schedule, WARMUP=optimizer.warmup, num_warps=1, **decays, **fall)
        self._scheduled = True

    def step(self) -> None:
        """Update parameters and followers; also measure and schedule if that wasn't done. One launch."""
        if not self._measured:
            self.measure()
        if not self._scheduled:
            self.schedule()
        self._measured = self._scheduled = False
        flat, optimizer = self.flat, self.optimizer
        _update[(len(self._chunks),)](
            flat.values, flat.low, flat.gradients, self.momentum, self.square,
            self._chunks, self._factors, self._lrs, self._schedule,
            BETA1=optimizer.beta1, BETA2=optimizer.beta2, EPS=optimizer.eps, SLOW_RATE=self.slow_rate,
            HAS_LOW=flat.low is not flat.values, CHUNK=CHUNK, ALIGNMENT=ALIGNMENT, num_warps=WARPS,
        )  # fmt: skip

    @torch.no_grad()
    def _move_state(self) -> Tensor:
        """Move the optimiser's state into the flat buffers; return the step count () that all parameters share."""
        self.optimizer.allocate()
        for parameter in self.flat.parameters:
            state = self.optimizer.state[parameter]
            for name, buffer in (("momentum", self.momentum), ("square", self.square)):
                segment = self.flat.segment(buffer, parameter)
                segment.copy_(state[name])
                state[name] = segment
        step: Tensor = self.optimizer.state[self.flat.parameters[0]]["step"]
        return step


def _tables(flat: Flat, groups: list[list[nn.Parameter]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the chunks and the spans of chunks.

    Returns:
        Chunks, each of one tensor: start and the follower's start in multiples of the alignment, length, tensor. And
        spans, first those of the tensors and then those of the groups: first chunk, number of chunks.
    """
    follower_of = {leader: follower for follower, leader in flat.leader_of.items()}
    chunks: list[list[int]] = []
    tensor_spans: list[list[int]] = []
    group_spans: list[list[int]] = []
    for members in groups:
        group_first = len(chunks)
        for parameter in members:
            first, elements, tensor = len(chunks), parameter.numel(), len(tensor_spans)
            follower = follower_of.get(parameter)
            for done in range(0, elements, CHUNK):
                start = (flat.start(parameter) + done) // ALIGNMENT
                slow = -1 if follower is None else (flat.start(follower) + done) // ALIGNMENT
                chunks.append([start, min(CHUNK, elements - done), tensor, slow])
            tensor_spans.append([first, len(chunks) - first])
        group_spans.append([group_first, len(chunks) - group_first])
    return chunks, tensor_spans + group_spans
