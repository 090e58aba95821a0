"""Values that the fused kernels support."""

import pytest

from dreamer_exp.algorithms.dreamerv3.backends.requirements import expected_backend, why_not_fused
from dreamer_exp.algorithms.dreamerv3.config import DreamerV3Algo
from tests.config.composing import loaded
from tests.experiments import machine


def algo(*words: str) -> DreamerV3Algo:
    return loaded(*words, on=machine(cpus=64, gpus=1)).algo


@pytest.mark.parametrize("size", ["nano", "XS", "1M", "12M", "25M"])
@pytest.mark.parametrize("batch", [16, 32, 48, 64])
def test_small_sizes_are_supported_with_every_batch_of_complete_tiles(size: str, batch: int) -> None:
    assert why_not_fused(algo(f"algo.model_size={size}", f"algo.batch_size_B={batch}")) == ""


@pytest.mark.parametrize(
    "words", [("algo.batch_length_T=2", "algo.horizon_H=1"), ("algo.batch_length_T=129", "algo.horizon_H=333")]
)
def test_any_length_and_horizon_are_supported(words: tuple[str, ...]) -> None:
    assert why_not_fused(algo(*words)) == ""


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_precisions_of_tensor_cores_are_supported(precision: str) -> None:
    assert why_not_fused(algo(f"algo.precision={precision}")) == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("algo.precision=float32",), "algo.precision=float32, but fused supports tf32 or bfloat16"),
        (("algo.batch_size_B=8",), "algo.batch_size_B=8, but fused supports a multiple of 16 up to 64"),
        (("algo.batch_size_B=80",), "algo.batch_size_B=80, but fused supports a multiple of 16 up to 64"),
        (("algo.model_size=50M",), "algo.network.deter=4096, but fused supports up to 3072"),
        (
            ("algo.network.deter=320",),
            "algo.network.deter / algo.network.blocks = 320 / 8 = 40, but fused supports a multiple of 16 up to 384",
        ),
        (
            ("algo.network.deter=1024", "algo.network.blocks=2"),
            "algo.network.deter / algo.network.blocks = 1024 / 2 = 512, but fused supports a multiple of 16 up to 384",
        ),
        (("algo.network.hidden=48",), "algo.network.hidden=48, but fused supports a multiple of 32 up to 512"),
        (("algo.network.hidden=544",), "algo.network.hidden=544, but fused supports a multiple of 32 up to 512"),
        (("algo.network.units=48",), "algo.network.units=48, but fused supports a multiple of 32 up to 512"),
        (("algo.network.classes=33",), "algo.network.classes=33, but fused supports up to 32"),
        (("algo.network.stoch=65", "algo.network.classes=16"), "algo.network.stoch=65, but fused supports up to 64"),
        (
            ("algo.batch_length_T=256", "algo.horizon_H=333", "algo.batch_size_B=64"),
            "algo.batch_size_B=64 x (algo.batch_length_T=256 + 1) x (algo.horizon_H=333 + 1) = 5493632, "
            "but fused supports up to 2796202",
        ),
        (
            ("algo.model_size=25M", "algo.batch_length_T=3641", "algo.horizon_H=1", "algo.batch_size_B=64"),
            "algo.batch_size_B=64 x (algo.batch_length_T=3641 + 1) = 233088, but fused supports up to 233016",
        ),
        (
            ("algo.network.stoch=3", "algo.network.classes=8"),
            "algo.network.stoch=3 x algo.network.classes=8, but fused supports a product that is a multiple of 16",
        ),
        (("algo.network.posterior_layers=2",), "algo.network.posterior_layers=2, but fused supports 1"),
        (("algo.train_actor=false",), "algo.train_actor=False, but fused supports True"),
    ],
)
def test_unsupported_value_is_named_with_the_supported_ones(words: tuple[str, ...], why: str) -> None:
    assert why_not_fused(algo(*words)) == why


def test_number_of_classes_need_not_be_a_power_of_two() -> None:
    assert why_not_fused(algo("algo.network.classes=24")) == ""


B_8 = "algo.batch_size_B=8, but fused supports a multiple of 16 up to 64"


@pytest.mark.parametrize(
    ("words", "backend"),
    [
        ((), ("fused", "")),
        (("obs_contract.encoders={rays: lidar}",), ("fused", "")),
        (("algo.batch_size_B=8",), ("cuda_graph", B_8)),
        (("algo.backend=fused", "algo.batch_size_B=8"), ("cuda_graph", B_8)),
        (("algo.backend=cuda_graph", "algo.batch_size_B=8"), ("cuda_graph", "")),
        (("algo.backend=eager", "algo.batch_size_B=8"), ("eager", "")),
    ],
    ids=["supported", "encoders", "auto", "requested fused", "requested cuda_graph", "requested eager"],
)
def test_expected_backend_and_reason_follow_from_the_keys(words: tuple[str, ...], backend: tuple[str, str]) -> None:
    expected = expected_backend(algo(*words))
    assert (expected.name, expected.why) == backend
