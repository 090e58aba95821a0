"""How a run says by which kernels its updates are computed, and why by no higher ones."""

from dataclasses import replace

import pytest

from dreamer_exp.config.experiment import Algo
from dreamer_exp.runs.computing import computing, why_graph
from tests.experiments import experiment, machine

GPU = machine(cpus=8, gpus=1)
FITS = experiment(on=GPU).algo
TOO_SMALL = experiment("algo.batch_size_B=8", on=GPU).algo


def test_kernels_and_precision_are_told_of_the_fast_learner_alone() -> None:
    assert computing(experiment().algo) == " (kernels eager, precision float32)"
    assert computing(experiment("algo.learner=rllib").algo) == ""


def test_fused_and_eager_updates_want_no_reason() -> None:
    assert why_graph(FITS) == ""
    assert why_graph(replace(TOO_SMALL, kernels="eager")) == ""


def test_graph_has_the_value_that_does_not_fit_for_its_reason() -> None:
    assert why_graph(TOO_SMALL) == "algo.batch_size_B=8, where fused takes a multiple of 16 up to 64"


def test_graph_that_was_chosen_has_none() -> None:
    assert why_graph(experiment("algo.kernels=graph", on=GPU).algo) == ""


@pytest.mark.parametrize("algo", [replace(FITS, kernels="graph"), TOO_SMALL], ids=["fits", "does not"])
def test_what_the_learner_says_comes_first(algo: Algo) -> None:
    assert why_graph(algo, "Triton is not installed") == "Triton is not installed"
