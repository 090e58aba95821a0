"""Matrix products of operands in one dtype with a float32 result, by cuBLAS on a GPU."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Precision:
    """`operand`: dtype of what products read; `dot`: how Triton multiplies float32 operands, "ieee" or "tf32"."""

    operand: torch.dtype
    dot: str

    @staticmethod
    def of(name: str) -> "Precision":
        """For algo.precision: float32, tf32 or bfloat16."""
        return {
            "float32": Precision(torch.float32, "ieee"),
            "tf32": Precision(torch.float32, "tf32"),
            "bfloat16": Precision(torch.bfloat16, "ieee"),
        }[name]


def mm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """(n, k) x (k, m) -> (n, m) float32."""
    if a.dtype != torch.bfloat16:
        return torch.mm(a, b, out=out)
    if a.is_cuda:
        return _with_float32(torch.ops.aten.mm, a, b, out)
    return torch.mm(a.float(), b.float(), out=out)


def bmm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """(g, n, k) x (g, k, m) -> (g, n, m) float32."""
    if a.dtype != torch.bfloat16:
        return torch.bmm(a, b, out=out)
    if a.is_cuda:
        return _with_float32(torch.ops.aten.bmm, a, b, out)
    return torch.bmm(a.float(), b.float(), out=out)


def add_product(addend: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """addend (float32) + a @ b, of two or three axes -> float32."""
    if a.dtype == torch.bfloat16 and a.is_cuda:
        operator = torch.ops.aten.addmm if a.ndim == 2 else torch.ops.aten.baddbmm
        total: Tensor = operator.dtype(addend, a, b, torch.float32)
        return total
    return (torch.addmm if a.ndim == 2 else torch.baddbmm)(addend, a.to(addend.dtype), b.to(addend.dtype))


def _with_float32(operator: torch._ops.OpOverloadPacket, a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    if out is None:
        product: Tensor = operator.dtype(a, b, torch.float32)
    else:
        product = operator.dtype_out(a, b, torch.float32, out=out)
    return product
