"""Lambda returns of imagined and replayed sequences against maths.lambda_return, as losses.py calls it."""

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.backends.fused.imagination.returns import imagined_returns, replayed_returns
from dreamer_exp.algorithms.dreamerv3.maths import lambda_return
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close


@pytest.mark.parametrize(("rows", "states"), [(5, 5), (70, 5), (3, 130), (2, 3001)])
def test_imagined_returns_and_weights_equal_the_eager_ones(rows: int, states: int) -> None:
    torch.manual_seed(1)
    reward, value = torch.randn(2, states, rows).to(DEVICE)
    raw, bias = torch.randn(states * rows, 3).to(DEVICE)[:, 1:2], torch.full((1,), 0.5, device=DEVICE)
    returns, weight = imagined_returns(reward, raw, bias, value, 0.95)
    continues = torch.sigmoid(raw.double() + bias).view(states, rows)
    expected = lambda_return(
        torch.zeros_like(continues).t(), 1.0 - continues.t(), reward.double().t(), value.double().t(),
        discount=1.0, gae_lambda=0.95,
    ).t()  # fmt: skip
    close(returns, expected)
    close(weight, torch.cumprod(continues, 0)[:-1])


@pytest.mark.parametrize("steps", [2, 5, 9])
def test_replayed_returns_equal_the_eager_ones(steps: int) -> None:
    torch.manual_seed(1)
    rows = 3
    last, terminal = (torch.rand(2, rows, steps) < 0.3).float().to(DEVICE)
    reward = torch.randn(rows, steps).to(DEVICE)
    bootstrap = torch.randn(steps, rows).to(DEVICE).t()  # time-major, as in the imagined rollout
    found = replayed_returns(last, terminal, reward, bootstrap, 0.997, 0.95)
    expected = lambda_return(
        last.double(), terminal.double(), reward.double(), bootstrap.double(), discount=0.997, gae_lambda=0.95
    )
    close(found, expected)


def test_replayed_returns_can_be_written_time_major() -> None:
    torch.manual_seed(1)
    last, terminal = torch.zeros(2, 3, 5, device=DEVICE)
    reward, bootstrap = torch.randn(2, 3, 5).to(DEVICE)
    out = torch.full((4, 3), torch.nan, device=DEVICE)
    replayed_returns(last, terminal, reward, bootstrap, 0.9, 0.8, out.t())
    assert torch.equal(out.t(), replayed_returns(last, terminal, reward, bootstrap, 0.9, 0.8))
