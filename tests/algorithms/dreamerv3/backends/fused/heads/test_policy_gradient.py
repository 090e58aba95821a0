"""Loss, entropy and gradient of the actor against autograd through losses.actor_critic_losses."""

import pytest
import torch
from torch.nn import functional

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.policy_gradient import actor_gradient
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

SCALE = 0.7
ENTROPY_SCALE = 0.3  # large, so that the entropy matters in the gradient
KINDS = [ActionKind(3, discrete=True), ActionKind(17, discrete=True), ActionKind(1, discrete=False),
         ActionKind(2, discrete=False), ActionKind(21, discrete=False)]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("rows", [4, 140])
def test_losses_entropies_and_gradients_equal_the_eager_ones(kind: ActionKind, rows: int) -> None:
    torch.manual_seed(1)
    outputs = kind.outputs
    raw, bias = torch.randn(rows, outputs + 4).to(DEVICE)[:, 1 : outputs + 1], torch.randn(outputs).to(DEVICE)
    action = 1.5 * torch.randn(rows, kind.size)
    if kind.discrete:
        action = functional.one_hot(action.argmax(-1), kind.size).float()
    action = action.to(DEVICE)
    advantage, weight = torch.randn(rows).to(DEVICE), torch.rand(rows).to(DEVICE)
    wide = torch.zeros(rows, outputs + 3, device=DEVICE)

    loss, entropy = actor_gradient(kind, raw, bias, action, advantage, weight, ENTROPY_SCALE, SCALE, wide[:, :outputs])

    exact = raw.double().requires_grad_()
    log_probability, wanted_entropy = kind.log_probability_and_entropy(exact + bias, action.double())
    expected = -weight * (log_probability * advantage + ENTROPY_SCALE * wanted_entropy)
    close(entropy, wanted_entropy)
    close(loss, expected)
    close(wide[:, :outputs], torch.autograd.grad(SCALE * expected.mean(), exact)[0])
    assert not wide[:, outputs:].any()


def test_the_gradient_can_be_written_in_the_operand_dtype() -> None:
    torch.manual_seed(1)
    kind = ActionKind(2, discrete=False)
    raw, bias, action = torch.randn(4, 4).to(DEVICE), torch.zeros(4, device=DEVICE), torch.randn(4, 2).to(DEVICE)
    advantage, weight = torch.randn(4).to(DEVICE), torch.rand(4).to(DEVICE)
    full, low = torch.empty(4, 4, device=DEVICE), torch.empty(4, 4, dtype=torch.bfloat16, device=DEVICE)
    for d_raw in (full, low):
        actor_gradient(kind, raw, bias, action, advantage, weight, ENTROPY_SCALE, SCALE, d_raw)
    close(low, full, 0.008)
