"""Matrix products with a float32 result from operands of another precision (cuBLAS on a GPU)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Precision:
    """Precision of matrix products.

    Attributes:
        operand: dtype of the operands.
        dot: how Triton multiplies float32 operands, "ieee" or "tf32".
    """

    operand: torch.dtype
    dot: str

    @staticmethod
    def of(name: str) -> "Precision":
        """Return the precision for a value of algo.precision: float32, tf32 or bfloat16."""
        return {
            "float32": Precision(torch.float32, "ieee"),
            "tf32": Precision(torch.float32, "tf32"),
            "bfloat16": Precision(torch.bfloat16, "ieee"),
        }[name]

    def autocast(self, device: torch.device) -> torch.autocast:
        """Return the context in which torch's modules have this precision; tf32 is a setting of the process."""
        return torch.autocast(device.type, torch.bfloat16, enabled=self.operand == torch.bfloat16)


def mm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a @ b (n, m) in float32, for a (n, k) and b (k, m); written into `out` if given."""
    return _product(torch.mm, torch.ops.aten.mm, a, b, out)


def bmm(a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
    """Return a @ b (g, n, m) in float32, for a (g, n, k) and b (g, k, m); written into `out` if given."""
    return _product(torch.bmm, torch.ops.aten.bmm, a, b, out)


def add_product(addend: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """Return addend + a @ b in float32, for a float32 addend and matrices or batches of matrices."""
    if a.dtype == torch.bfloat16 and a.is_cuda:
        operator = torch.ops.aten.addmm if a.ndim == 2 else torch.ops.aten.baddbmm
        total: Tensor = operator.dtype(addend, a, b, torch.float32)
        return total
    return (torch.addmm if a.ndim == 2 else torch.baddbmm)(addend, a.to(addend.dtype), b.to(addend.dtype))


def _product(
    plain: Callable[..., Tensor], to_float32: torch._ops.OpOverloadPacket, a: Tensor, b: Tensor, out: Tensor | None
) -> Tensor:
    if a.dtype != torch.bfloat16:
        return plain(a, b, out=out)
    if not a.is_cuda:
        return plain(a.float(), b.float(), out=out)
    product: Tensor = (
        to_float32.dtype(a, b, torch.float32) if out is None else to_float32.dtype_out(a, b, torch.float32, out=out)
    )
    return product
