"""Selection of the backend, and the reason if it is not the requested one."""

import importlib.util
from subprocess import CalledProcessError
from types import SimpleNamespace

import pytest
import torch

from dreamer_exp.algorithms.dreamerv3.actor import ActionKind
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.select import programs_on, select_backend, try_fused, why_not_on
from dreamer_exp.algorithms.dreamerv3.losses import LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.sizes import SIZES

BOX = ActionKind(2, discrete=False)
with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def gpu(*, multiprocessors: int = 132, capability: tuple[int, int] = (9, 0)) -> SimpleNamespace:
    major, minor = capability
    return SimpleNamespace(name="Some GPU", multi_processor_count=multiprocessors, major=major, minor=minor)


def make_update(device: str, kind: ActionKind = BOX) -> EagerUpdate:
    torch.manual_seed(0)
    agent = Agent(SIZES["1M"], 9, kind).to(device)
    return EagerUpdate(
        agent=agent,
        optimizer=LaProp([parameter for parameter in agent.parameters() if parameter.requires_grad]),
        returns=ReturnRange(torch.zeros((), device=device), torch.zeros((), device=device)),
        config=LossConfig(horizon_H=2),
        generator=torch.Generator(device).manual_seed(1),
    )


def test_backend_eager_returns_the_update_unchanged() -> None:
    update = make_update("cpu")
    assert select_backend(update, "eager", "float32", (16, 4)) == (update, "eager", "")


@with_triton
def test_large_gpu_supports_every_batch() -> None:
    assert [why_not_on(gpu(), BOX, rows) for rows in (16, 32, 48, 64)] == [""] * 4


@with_triton
@pytest.mark.parametrize(
    ("of_gpu", "action", "rows", "why"),
    [
        (
            gpu(multiprocessors=16),
            BOX,
            32,
            "the Some GPU has 16 multiprocessors, but the fused kernels need 32 for algo.batch_size_B=32",
        ),
        (
            gpu(capability=(7, 5)),
            BOX,
            16,
            "the Some GPU has compute capability 7.5, the fused kernels need 8.0 or newer",
        ),
        (gpu(), ActionKind(17, discrete=False), 16, "the actor has 34 outputs, the fused kernels take up to 32"),
    ],
    ids=["small", "old", "many actions"],
)
def test_reason_names_the_unsupported_property(
    of_gpu: SimpleNamespace, action: ActionKind, rows: int, why: str
) -> None:
    assert why_not_on(of_gpu, action, rows) == why


def test_reason_names_missing_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert why_not_on(gpu(), BOX, 16) == "Triton is not installed, which compiles the fused kernels"


@pytest.mark.parametrize(
    ("rows", "deter", "programs"), [(16, 512, 64), (64, 512, 32), (16, 2048, 128), (32, 2048, 64), (16, 3072, 96)]
)
def test_programs_of_a_scan_are_all_resident_at_once(rows: int, deter: int, programs: int) -> None:
    assert programs_on(132, rows, deter) == programs
    assert programs * rows // 16 <= 132


def wrapped(cause: Exception) -> Exception:
    """Return an error as Triton wraps that of a function which a kernel calls."""
    outer = RuntimeError("at 29:16:\n    x = inner(x)\n        ^")
    outer.__cause__ = cause
    return outer


@with_triton
@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (RuntimeError("Triton Error [CUDA]: too many blocks"), "RuntimeError: Triton Error [CUDA]: too many blocks"),
        (wrapped(ValueError("\nno such size\nof a tile")), "ValueError: no such size"),
        (CalledProcessError(1, ["cc"]), "CalledProcessError: Command '['cc']' returned non-zero exit status 1."),
        (RuntimeError(), "RuntimeError: no message"),
    ],
)
def test_any_error_of_the_trial_update_becomes_the_reason(
    problem: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dreamer_exp.algorithms.dreamerv3.backends.fused.update import FusedUpdate

    def fail(self: FusedUpdate) -> None:
        raise problem

    monkeypatch.setattr(FusedUpdate, "trial_update", fail)
    found = try_fused(make_update("cpu"), "float32", (16, 4), 32)
    assert found == (None, f"the fused kernels don't run here: {reason}")


@on_gpu
def test_reason_known_from_the_keys_is_returned() -> None:
    assert select_backend(make_update("cuda"), "fused", "bfloat16", (16, 4), "not today")[1:] == (
        "cuda_graph",
        "not today",
    )


@on_gpu
def test_fused_is_selected_if_it_is_supported() -> None:
    backend = select_backend(make_update("cuda"), "fused", "bfloat16", (16, 4))
    assert (backend.name, backend.why) == ("fused", "")


@on_gpu
def test_cuda_graph_is_selected_if_fused_is_not_supported() -> None:
    backend = select_backend(make_update("cuda", ActionKind(17, discrete=False)), "fused", "bfloat16", (16, 4))
    assert (backend.name, backend.why) == ("cuda_graph", "the actor has 34 outputs, the fused kernels take up to 32")
