"""A perceptron's run and gradients equal those of the module whose parameters it reads."""

import pytest
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.backends.fused.heads.perceptron import Perceptron, aligned
from dreamer_exp.algorithms.dreamerv3.backends.fused.optimizer.flat import Flat
from dreamer_exp.algorithms.dreamerv3.networks.layers import Mlp
from dreamer_exp.algorithms.dreamerv3.networks.products import Precision, mm
from tests.algorithms.dreamerv3.backends.fused.at import DEVICE
from tests.algorithms.dreamerv3.backends.fused.close import close

N, INPUTS, UNITS, OUTPUTS = 7, 10, 24, 11
SHAPES = [(1, OUTPUTS), (3, OUTPUTS), (2, 1), (3, None)]


class Case:
    """A module, the perceptron of its parameters, and what autograd makes of the module in float64."""

    def __init__(self, layers: int, outputs: int | None, precision: str = "float32") -> None:
        torch.manual_seed(1)
        module = Mlp(INPUTS, UNITS, layers, outputs)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        exact = Mlp(INPUTS, UNITS, layers, outputs).double()
        exact.load_state_dict(module.state_dict())
        x, self.d_output = torch.randn(N, INPUTS), torch.randn(N, outputs or UNITS)
        self.wanted = exact(x.double())
        self.wanted.backward(self.d_output.double())
        self.wanted_gradients = [parameter.grad for parameter in exact.parameters()]

        parameters = list(module.to(DEVICE).parameters())
        self.precision = Precision.of(precision)
        flat = Flat(parameters, self.precision.operand)
        flat.gradients.fill_(torch.nan)
        self.leaves = [flat.leaf(parameter) for parameter in parameters]
        self.perceptron = Perceptron.of(module, flat.leaf, self.precision)
        self.x = x.to(DEVICE, self.precision.operand)
        self.d_output = self.d_output.to(DEVICE, torch.float32 if outputs is None else self.precision.operand)
        both = torch.cat([self.leaves[0].low, self.leaves[0].low])  # as if two heads shared the product
        self.trace = self.perceptron.run(mm(self.x, both.t())[:, UNITS:])

    def output(self) -> Tensor:
        last = self.perceptron.output
        return self.trace.output if last is None else self.trace.output + last.bias.value


@pytest.fixture(params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_the_output_is_the_modules(case: Case) -> None:
    close(case.output().cpu(), case.wanted)


def test_every_parameter_learns(case: Case) -> None:
    case.perceptron.learn(case.trace, case.d_output, case.x)
    for leaf, wanted in zip(case.leaves, case.wanted_gradients, strict=True):
        assert wanted is not None
        close(leaf.grad.cpu(), wanted)


def test_the_first_products_gradient_gives_the_first_weights(case: Case) -> None:
    d_first = case.perceptron.learn(case.trace, case.d_output, None)
    wanted = case.wanted_gradients[0]
    assert wanted is not None
    close(mm(d_first.t(), case.x).cpu(), wanted)
    assert case.leaves[0].grad.isnan().all()  # the caller's


def test_pulling_leaves_every_parameters_gradient_alone(case: Case) -> None:
    d_first = case.perceptron.pull(case.trace, case.d_output)
    assert all(leaf.grad.isnan().all() for leaf in case.leaves)
    torch.testing.assert_close(d_first, case.perceptron.learn(case.trace, case.d_output, case.x), rtol=0.0, atol=0.0)


def test_the_first_products_gradient_goes_where_it_is_wanted(case: Case) -> None:
    wide = torch.zeros(N, 3 * UNITS, device=DEVICE)
    to = wide[:, UNITS : 2 * UNITS]
    assert case.perceptron.pull(case.trace, case.d_output, to) is to
    torch.testing.assert_close(to, case.perceptron.pull(case.trace, case.d_output), rtol=0.0, atol=0.0)
    assert not wide[:, :UNITS].any()
    assert not wide[:, 2 * UNITS :].any()


def test_some_rows_learn_as_if_the_others_had_no_gradient() -> None:
    some, every = Case(2, OUTPUTS), Case(2, OUTPUTS)
    every.d_output[3:] = 0.0
    some.perceptron.learn(some.trace.rows(3), some.d_output[:3], some.x[:3])
    every.perceptron.learn(every.trace, every.d_output, every.x)
    for found, wanted in zip(some.leaves, every.leaves, strict=True):
        close(found.grad, wanted.grad)


def test_in_bfloat16_products_read_the_shadow_and_all_comes_near() -> None:
    case = Case(3, OUTPUTS, "bfloat16")
    assert {activation.dtype for activation in case.trace.activations} == {torch.bfloat16}
    assert case.trace.output.dtype == torch.float32
    close(case.output().cpu(), case.wanted, 0.03)
    assert case.perceptron.learn(case.trace, case.d_output, case.x).dtype == torch.bfloat16
    for leaf, wanted in zip(case.leaves, case.wanted_gradients, strict=True):
        assert wanted is not None
        close(leaf.grad.cpu(), wanted, 0.05)


def test_aligned_rows_begin_at_multiples_of_sixteen_bytes() -> None:
    rows = aligned(3, 255, torch.bfloat16, torch.device(DEVICE))
    assert rows.shape == (3, 255)
    assert rows.stride() == (256, 1)
