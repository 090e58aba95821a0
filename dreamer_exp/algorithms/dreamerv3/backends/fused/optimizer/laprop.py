"""LaProp over flat storage: norms, clipping, the step, the shadow and the slow critic, in four launches.

The maths is laprop.py's, and so is the state that checkpoints hold. Sums are taken in a fixed order, without atomics,
so that a step can be repeated bit for bit.
"""

import math
from collections.abc import Collection

import torch
import triton
import triton.language as tl
from torch import Tensor, nn

from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import ALIGNMENT, Flat
from dreamer_exp.algorithms.dreamerv3.optimizer import GRADIENT_FLOOR, PARAMETER_FLOOR, LaProp

CHUNK = 2048  # numbers that one program of a kernel over all parameters works on
PARTIALS = 2048  # chunks' sums that a program adds at a time
WARPS = 8

# Lengths are rounded up to the alignment before they mask a load, or it could not be made of whole 16-byte words.


@triton.jit
def _sum_squares(values, gradients, chunks, partial, CHUNK: tl.constexpr, ALIGNMENT: tl.constexpr):  # noqa: PLR0917
    """Each chunk's sums of squares, of gradient and value: partial (chunks, 2)."""
    chunk = tl.program_id(0)
    start = tl.load(chunks + chunk * 4) * ALIGNMENT
    length = tl.load(chunks + chunk * 4 + 1)
    lanes = tl.arange(0, CHUNK)
    inside = lanes < (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    gradient = tl.load(gradients + start + lanes, mask=inside, other=0.0)
    gradient = tl.where(lanes < length, gradient, 0.0)
    value = tl.load(values + start + lanes, mask=inside, other=0.0)
    tl.store(partial + chunk * 2, tl.sum(gradient * gradient, 0))
    tl.store(partial + chunk * 2 + 1, tl.sum(value * value, 0))


@triton.jit
def _take_norms(  # noqa: PLR0917
    partial, spans, norms, factors,
    CLIP: tl.constexpr, PARAMETER_FLOOR: tl.constexpr, GRADIENT_FLOOR: tl.constexpr,
    LONGEST: tl.constexpr, PARTIALS: tl.constexpr,
):  # fmt: skip
    """A gradient's norm and clipping factor, of every span of chunks: a tensor, or a group (whose factor is unused).

    All loop as long as the longest span, which a launch waits for anyway.
    """
    span = tl.program_id(0)
    first = tl.load(spans + span * 2)
    count = tl.load(spans + span * 2 + 1)
    lanes = tl.arange(0, PARTIALS)
    gradient = tl.zeros((PARTIALS,), tl.float32)
    value = tl.zeros((PARTIALS,), tl.float32)
    for done in range(0, LONGEST, PARTIALS):
        inside = done + lanes < count
        places = partial + (first + done + lanes) * 2
        gradient += tl.load(places, mask=inside, other=0.0)
        value += tl.load(places + 1, mask=inside, other=0.0)
    norm = tl.sqrt_rn(tl.sum(gradient, 0))
    limit = tl.sqrt_rn(tl.sum(value, 0))
    # `where` and not `maximum`, which would drop a NaN that laprop.py passes on
    limit = tl.where(limit < PARAMETER_FLOOR, PARAMETER_FLOOR, limit) * CLIP
    factor = tl.div_rn(limit, tl.where(norm < GRADIENT_FLOOR, GRADIENT_FLOOR, norm))
    tl.store(norms + span, norm)
    tl.store(factors + span, tl.where(factor > 1.0, 1.0, factor))


@triton.jit
def _one_minus_exp(x):
    """1 - exp(-x) of x >= 0, in float32 as exact as expm1: by its series where the difference would lose digits."""
    series = x * 0.0 + 1.0
    for i in tl.static_range(7):  # what the eighth term leaves out is below 1e-8 at 0.5
        series = 1.0 - x * series * (1.0 / (8 - i))
    return tl.where(x < 0.5, x * series, 1.0 - tl.exp(-x))


@triton.jit
def _take_schedule(step, schedule, DECAY1: tl.constexpr, DECAY2: tl.constexpr, WARMUP: tl.constexpr):
    """Counts the step; schedule (2,): what multiplies lr x momentum, and the bias of the root mean square."""
    count = tl.load(step) + 1.0
    tl.store(step, count)
    rate = tl.div_rn(count * 0.0 + 1.0, _one_minus_exp(count * DECAY1))
    if WARMUP > 0:
        rate = rate * tl.minimum(count * (1.0 / WARMUP), 1.0)
    tl.store(schedule, rate)
    tl.store(schedule + 1, tl.sqrt_rn(_one_minus_exp(count * DECAY2)))


@triton.jit
def _move(  # noqa: PLR0917
    values, low, gradients, momenta, squares, chunks, factors, lrs, schedule,
    BETA1: tl.constexpr, BETA2: tl.constexpr, EPS: tl.constexpr, SLOW_RATE: tl.constexpr,
    HAS_SHADOW: tl.constexpr, CHUNK: tl.constexpr, ALIGNMENT: tl.constexpr,
):  # fmt: skip
    """LaProp's step of a chunk and its shadow; then of its follower and that one's shadow, if it has one."""
    chunk = tl.program_id(0)
    start = tl.load(chunks + chunk * 4) * ALIGNMENT
    length = tl.load(chunks + chunk * 4 + 1)
    tensor = tl.load(chunks + chunk * 4 + 2)
    slow_start = tl.load(chunks + chunk * 4 + 3) * ALIGNMENT  # negative: nobody follows
    rate = tl.load(schedule)
    correction = tl.load(schedule + 1)
    lr = tl.load(lrs + tensor)
    factor = tl.load(factors + tensor)
    lanes = tl.arange(0, CHUNK)
    inside = lanes < (length + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    places = start + lanes
    value = tl.load(values + places, mask=inside, other=0.0)
    gradient = tl.load(gradients + places, mask=inside, other=0.0)
    momentum = tl.load(momenta + places, mask=inside, other=0.0)
    square = tl.load(squares + places, mask=inside, other=0.0)
    gradient = tl.where(lanes < length, gradient, 0.0) * factor
    square = square * BETA2 + gradient * gradient * (1.0 - BETA2)
    # exact root and quotient: the fast ones flush tiny squares to zero, and eps is far below what that would need
    scaled = tl.div_rn(tl.sqrt_rn(square), correction) + EPS
    momentum = momentum * BETA1 + tl.div_rn(gradient, scaled) * (1.0 - BETA1)
    value = value - momentum * lr * rate
    tl.store(squares + places, square, mask=inside)
    tl.store(momenta + places, momentum, mask=inside)
    tl.store(values + places, value, mask=inside)
    follows = inside & (slow_start >= 0)
    slow_places = slow_start + lanes
    slow = tl.load(values + slow_places, mask=follows, other=0.0)
    slow = slow + (value - slow) * SLOW_RATE
    tl.store(values + slow_places, slow, mask=follows)
    if HAS_SHADOW:
        tl.store(low + places, value.to(low.dtype.element_ty), mask=inside)
        tl.store(low + slow_places, slow.to(low.dtype.element_ty), mask=follows)


class FusedLaProp:
    """Steps a LaProp's parameters, which lie in a Flat, by the Flat's gradients; a CUDA graph can capture it.

    Momentum and square of the LaProp's state become views of flat buffers, with what they hold: its `state_dict` and
    `load_state_dict` are still those of a checkpoint. After loading one, call `read_rates` (and Flat's `refresh`).

    Args:
        flat: holds the optimiser's parameters and no others.
        optimizer: its groups, constants and state.
        slow_rate: of the followers towards their leaders, after each step.
        idle: names of groups without a gradient: they don't move, have no norm, and nobody follows them.
    """

    def __init__(self, flat: Flat, optimizer: LaProp, slow_rate: float, idle: Collection[str] = ()) -> None:
        self.flat, self.optimizer, self.slow_rate = flat, optimizer, slow_rate
        groups = {g.get("name", str(i)): g["params"] for i, g in enumerate(optimizer.param_groups) if g["params"]}
        if {parameter for members in groups.values() for parameter in members} != set(flat.parameters):
            raise ValueError("Flat storage and optimiser are not of the same parameters.")
        self._groups: dict[str, list[nn.Parameter]] = {name: ps for name, ps in groups.items() if name not in idle}
        self.momentum, self.square = torch.zeros_like(flat.gradients), torch.zeros_like(flat.gradients)
        self._step = self._take_state()
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
        self.read_rates()

    def read_rates(self) -> None:
        """Takes each group's learning rate from the optimiser, again after it was changed there."""
        lr_of = {parameter: group["lr"] for group in self.optimizer.param_groups for parameter in group["params"]}
        moving = [parameter for members in self._groups.values() for parameter in members]
        self._lrs.copy_(torch.tensor([lr_of[parameter] for parameter in moving]))

    def measure(self) -> None:
        """Fills the optimiser's `norms`, which stay the same tensors, ahead of the step, which clips by them.

        No gradient or value may change in between. Two launches.
        """
        flat, chunks, partial = self.flat, self._chunks, self._partial
        _sum_squares[(len(chunks),)](flat.values, flat.gradients, chunks, partial, CHUNK=CHUNK, ALIGNMENT=ALIGNMENT)
        _take_norms[(len(self._spans),)](
            partial, self._spans, self._norms, self._factors,
            CLIP=self.optimizer.clip, PARAMETER_FLOOR=PARAMETER_FLOOR, GRADIENT_FLOOR=GRADIENT_FLOOR,
            LONGEST=self._longest, PARTIALS=PARTIALS, num_warps=WARPS,
        )  # fmt: skip
        self.optimizer.norms.update(self._group_norms)
        self._measured = True

    def schedule(self) -> None:
        """Counts the step ahead of it; it depends on nothing else, so that it can run beside anything. One launch."""
        optimizer = self.optimizer
        decays = {"DECAY1": -math.log(optimizer.beta1), "DECAY2": -math.log(optimizer.beta2)}
        _take_schedule[(1,)](self._step, self._schedule, WARMUP=optimizer.warmup, num_warps=1, **decays)
        self._scheduled = True

    def step(self) -> None:
        """One update of parameters, followers and shadows; measures and schedules unless that is done. One launch."""
        if not self._measured:
            self.measure()
        if not self._scheduled:
            self.schedule()
        self._measured = self._scheduled = False
        flat, optimizer = self.flat, self.optimizer
        _move[(len(self._chunks),)](
            flat.values, flat.low, flat.gradients, self.momentum, self.square,
            self._chunks, self._factors, self._lrs, self._schedule,
            BETA1=optimizer.beta1, BETA2=optimizer.beta2, EPS=optimizer.eps, SLOW_RATE=self.slow_rate,
            HAS_SHADOW=flat.low is not flat.values, CHUNK=CHUNK, ALIGNMENT=ALIGNMENT, num_warps=WARPS,
        )  # fmt: skip

    @torch.no_grad()
    def _take_state(self) -> Tensor:
        """Makes the optimiser's state views of the flat buffers; the step count () that all parameters share."""
        self.optimizer.allocate()
        for parameter in self.flat.parameters:
            state = self.optimizer.state[parameter]
            for name, buffer in (("momentum", self.momentum), ("square", self.square)):
                view = self.flat.view(buffer, parameter)
                view.copy_(state[name])
                state[name] = view
        step: Tensor = self.optimizer.state[self.flat.parameters[0]]["step"]
        return step


def _tables(flat: Flat, groups: list[list[nn.Parameter]]) -> tuple[list[list[int]], list[list[int]]]:
    """Chunks: start and follower's start in units of the alignment, length, tensor; spans: first chunk, and how many.

    A chunk is of one tensor; the spans are those of the tensors, then of the groups.
    """
    follower_of = {leader: follower for follower, leader in flat.leader_of.items()}
    chunks: list[list[int]] = []
    tensors: list[list[int]] = []
    wholes: list[list[int]] = []
    for members in groups:
        group_first = len(chunks)
        for parameter in members:
            first, numbers, tensor = len(chunks), parameter.numel(), len(tensors)
            follower = follower_of.get(parameter)
            for done in range(0, numbers, CHUNK):
                start = (flat.start(parameter) + done) // ALIGNMENT
                slow = -1 if follower is None else (flat.start(follower) + done) // ALIGNMENT
                chunks.append([start, min(CHUNK, numbers - done), tensor, slow])
            tensors.append([first, len(chunks) - first])
        wholes.append([group_first, len(chunks) - group_first])
    return chunks, tensors + wholes
