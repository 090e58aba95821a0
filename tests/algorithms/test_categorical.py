"""Drawn classes."""

import pytest
import torch

from dreamer_exp.algorithms.categorical import draw_classes


@pytest.mark.parametrize(("number", "drawn"), [(0.0, 0), (0.25, 1), (0.74, 1), (0.75, 3), (0.99, 3), (0.99999994, 3)])
def test_class_is_drawn_by_inverse_cdf(number: float, drawn: int) -> None:
    """Class 2 has no probability; the sum of all is slightly below 1, and the largest noise still draws a class."""
    probabilities = torch.tensor([[0.25, 0.5, 0.0, 0.2499]])
    assert draw_classes(probabilities, torch.tensor([number])).tolist() == [drawn]
