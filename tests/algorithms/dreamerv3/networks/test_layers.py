"""Norms without a gradient compute what those with one compute."""

import torch

from dreamer_exp.algorithms.dreamerv3.networks.layers import NormSiLU, norm_silu


def test_a_norm_without_a_gradient_is_the_one_with_it_bit_for_bit() -> None:
    layer, x = NormSiLU(96), torch.randn(32, 96)
    with torch.no_grad():
        layer.scale.normal_()
        acting = layer(x)

    assert torch.equal(acting, layer(x))


def test_norms_of_several_vectors_at_once_are_those_of_each_bit_for_bit() -> None:
    x, scales = torch.randn(32, 3, 96), torch.randn(3, 96)
    with torch.no_grad():
        each = torch.stack([norm_silu(x[:, k].contiguous(), scales[k]) for k in range(3)], 1)

        assert torch.equal(norm_silu(x, scales), each)
