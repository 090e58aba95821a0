"""Forward and backward pass of a perceptron against the module whose parameters it reads."""

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
    """A module, the perceptron of its parameters, and results of autograd on the module in float64."""

    def __init__(self, layers: int, outputs: int | None, precision: str = "float32") -> None:
        torch.manual_seed(1)
        module = Mlp(INPUTS, UNITS, layers, outputs)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        exact = Mlp(INPUTS, UNITS, layers, outputs).double()
        exact.load_state_dict(module.state_dict())
        x, self.d_output = torch.randn(N, INPUTS), torch.randn(N, outputs or UNITS)
        self.expected = exact(x.double())
        self.expected.backward(self.d_output.double())
        self.wanted_gradients = [parameter.grad for parameter in exact.parameters()]

        parameters = list(module.to(DEVICE).parameters())
        self.precision = Precision.of(precision)
        flat = Flat(parameters, self.precision.operand)
        flat.gradients.fill_(torch.nan)
        self.views = [flat.view(parameter) for parameter in parameters]
        self.perceptron = Perceptron.of(module, flat.view, self.precision)
        self.x = x.to(DEVICE, self.precision.operand)
        self.d_output = self.d_output.to(DEVICE, torch.float32 if outputs is None else self.precision.operand)
        both = torch.cat([self.views[0].low, self.views[0].low])  # as if two heads shared it
        self.trace = self.perceptron.forward(mm(self.x, both.t())[:, UNITS:])

    def output(self) -> Tensor:
        last = self.perceptron.output
        return self.trace.output if last is None else self.trace.output + last.bias.value


@pytest.fixture(params=SHAPES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_the_output_equals_the_modules(case: Case) -> None:
    close(case.output().cpu(), case.expected)


def test_every_parameter_gets_its_gradient(case: Case) -> None:
    case.perceptron.backward(case.trace, case.d_output, case.x)
    for view, expected in zip(case.views, case.wanted_gradients, strict=True):
        assert expected is not None
        close(view.grad.cpu(), expected)


def test_the_gradient_of_the_first_product_gives_that_of_the_first_weight(case: Case) -> None:
    d_first = case.perceptron.backward(case.trace, case.d_output, None)
    expected = case.wanted_gradients[0]
    assert expected is not None
    close(mm(d_first.t(), case.x).cpu(), expected)
    assert case.views[0].grad.isnan().all()  # left to the caller


def test_backward_to_input_writes_no_parameters_gradient(case: Case) -> None:
    d_first = case.perceptron.backward_to_input(case.trace, case.d_output)
    assert all(view.grad.isnan().all() for view in case.views)
    torch.testing.assert_close(d_first, case.perceptron.backward(case.trace, case.d_output, case.x), rtol=0.0, atol=0.0)


def test_the_gradient_of_the_first_product_is_written_to_the_given_tensor(case: Case) -> None:
    wide = torch.zeros(N, 3 * UNITS, device=DEVICE)
    to = wide[:, UNITS : 2 * UNITS]
    assert case.perceptron.backward_to_input(case.trace, case.d_output, to) is to
    torch.testing.assert_close(to, case.perceptron.backward_to_input(case.trace, case.d_output), rtol=0.0, atol=0.0)
    assert not wide[:, :UNITS].any()
    assert not wide[:, 2 * UNITS :].any()


def test_backward_of_some_rows_equals_zero_gradients_for_the_others() -> None:
    some, every = Case(2, OUTPUTS), Case(2, OUTPUTS)
    every.d_output[3:] = 0.0
    some.perceptron.backward(some.trace.rows(3), some.d_output[:3], some.x[:3])
    every.perceptron.backward(every.trace, every.d_output, every.x)
    for found, expected in zip(some.views, every.views, strict=True):
        close(found.grad, expected.grad)


def test_bfloat16_results_are_close() -> None:
    case = Case(3, OUTPUTS, "bfloat16")
    assert {activation.dtype for activation in case.trace.activations} == {torch.bfloat16}
    assert case.trace.output.dtype == torch.float32
    close(case.output().cpu(), case.expected, 0.03)
    assert case.perceptron.backward(case.trace, case.d_output, case.x).dtype == torch.bfloat16
    for view, expected in zip(case.views, case.wanted_gradients, strict=True):
        assert expected is not None
        close(view.grad.cpu(), expected, 0.05)


def test_aligned_rows_start_at_multiples_of_sixteen_bytes() -> None:
    rows = aligned(3, 255, torch.bfloat16, torch.device(DEVICE))
    assert rows.shape == (3, 255)
    assert rows.stride() == (256, 1)
