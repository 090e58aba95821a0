"""Lambda returns of imagined and of replayed sequences, one launch each (maths.lambda_return)."""
# ruff: noqa: PLR0917  # a kernel takes each pointer and size that it uses

import torch
import triton
import triton.language as tl
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.pointwise import sigmoid

ROW_TILE = 32  # imagined sequences per program; few, so that there are many programs
ELEMENTS = 2048  # steps times sequences that a program's one warp holds in registers


def imagined_returns(
    reward: Tensor, continue_raw: Tensor, continue_bias: Tensor, value: Tensor, gae_lambda: float
) -> tuple[Tensor, Tensor]:
    """Return lambda returns and weights (H, N) of H+1 imagined states (losses.actor_critic_losses); one launch.

    Args:
        reward: (H+1, N) float32, contiguous, received on arriving at a state.
        continue_raw: ((H+1)*N, 1) float32, product of the continue head's output layer.
        continue_bias: (1,), its bias.
        value: (H+1, N) float32, contiguous.
        gae_lambda: lambda.
    """
    states, rows = reward.shape
    returns, weight = torch.empty(2, states - 1, rows, device=reward.device)
    padded = triton.next_power_of_2(states - 1)
    row_tile = min(ROW_TILE, max(1, ELEMENTS // padded))
    _imagined[(triton.cdiv(rows, row_tile),)](
        reward, continue_raw, continue_bias, value, returns, weight, gae_lambda,
        H=states - 1, STEPS=padded, N=rows, ROW_TILE=row_tile,
        STRIDE=continue_raw.stride(0), num_warps=1,
    )  # fmt: skip
    return returns, weight


def replayed_returns(
    last: Tensor,
    terminal: Tensor,
    reward: Tensor,
    bootstrap: Tensor,
    discount: float,
    gae_lambda: float,
    out: Tensor | None = None,
) -> Tensor:
    """Return the lambda returns (B, T-1) of replayed sequences; one launch.

    All tensors are float32 and may have any strides.

    Args:
        last: (B, T), 1 at an episode's last step.
        terminal: (B, T), 1 where the episode ends in a terminal state.
        reward: (B, T).
        bootstrap: (B, T), values.
        discount: gamma.
        gae_lambda: lambda.
        out: (B, T-1), the tensor to write to and return; `time_major.t()` writes rows of T-1 times B.
    """
    rows, steps = reward.shape
    returns = torch.empty(rows, steps - 1, device=reward.device) if out is None else out
    padded = triton.next_power_of_2(steps - 1)
    _replayed[(rows,)](
        last, terminal, reward, bootstrap, returns, discount, gae_lambda,
        *last.stride(), *terminal.stride(), *reward.stride(), *bootstrap.stride(), *returns.stride(),
        T=steps, STEPS=padded, num_warps=min(max(padded // 64, 1), 4),
    )  # fmt: skip
    return returns


@triton.jit
def _follow(later_slope, later_offset, slope, offset):
    """Compose x -> offset + slope x with the map of the later steps."""
    return later_slope * slope, offset + slope * later_offset


@triton.jit
def _times(left, right):
    return left * right


# Return t is offset + slope * return t+1. The kernels load all steps at once, the last first, and compose these maps in
# a scan; a loop over the steps would wait for memory at each of them.


@triton.jit
def _imagined(
    reward, continue_raw, continue_bias, value, returns, weight, gae_lambda,
    H: tl.constexpr, STEPS: tl.constexpr, N: tl.constexpr, ROW_TILE: tl.constexpr, STRIDE: tl.constexpr,
):  # fmt: skip
    step = tl.arange(0, STEPS)[:, None]
    row = (tl.program_id(0) * ROW_TILE + tl.arange(0, ROW_TILE))[None, :]
    mask = (step < H) & (row < N)
    bias = tl.load(continue_bias)
    at = step * N + row
    chance = sigmoid(tl.load(continue_raw + at * STRIDE, mask=mask, other=0.0) + bias)
    tl.store(weight + at, tl.associative_scan(chance, 0, _times), mask=mask)
    at = (H - 1 - step) * N + row
    live = sigmoid(tl.load(continue_raw + (at + N) * STRIDE, mask=mask, other=0.0) + bias)
    offset = tl.load(reward + N + at, mask=mask, other=0.0)
    offset += (1.0 - gae_lambda) * live * tl.load(value + N + at, mask=mask, other=0.0)
    slope, offset = tl.associative_scan((live * gae_lambda, offset), 0, _follow)
    final = tl.load(value + H * N + row, mask=row < N, other=0.0)
    tl.store(returns + at, offset + slope * final, mask=mask)


@triton.jit
def _replayed(
    last, terminal, reward, bootstrap, returns, discount, gae_lambda,
    last_row, last_step, terminal_row, terminal_step, reward_row, reward_step, bootstrap_row, bootstrap_step,
    returns_row, returns_step,
    T: tl.constexpr, STEPS: tl.constexpr,
):  # fmt: skip
    """Process one sequence per program."""
    row = tl.program_id(0)
    step = T - 2 - tl.arange(0, STEPS)
    mask = step >= 0
    after = step + 1
    live = discount * (1.0 - tl.load(terminal + row * terminal_row + after * terminal_step, mask=mask, other=0.0))
    carried = gae_lambda * (1.0 - tl.load(last + row * last_row + after * last_step, mask=mask, other=0.0))
    value = tl.load(bootstrap + row * bootstrap_row + after * bootstrap_step, mask=mask, other=0.0)
    offset = tl.load(reward + row * reward_row + after * reward_step, mask=mask, other=0.0)
    offset += (1.0 - carried) * live * value
    slope, offset = tl.associative_scan((live * carried, offset), 0, _follow)
    final = tl.load(bootstrap + row * bootstrap_row + (T - 1) * bootstrap_step)
    tl.store(returns + row * returns_row + step * returns_step, offset + slope * final, mask=mask)
