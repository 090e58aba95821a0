"""Verdicts on pairs of groups, and cautions."""

from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.compare.model import Comparison, ComparisonRequest, Run
from dreamer_exp.compare.pipeline import compare
from tests.compare.folders import evaluation, make_run


def runs_of(x: object, *finals: float, **config: object) -> list[Run]:
    """Return runs of one setting, one seed each."""
    return [
        make_run(f"x={x}, {seed}", values=[0.0, final], algo__x=x, run__seed=seed, **config)
        for seed, final in enumerate(finals, 1)
    ]


def compared(*runs: Run, **request: object) -> Comparison:
    return compare(runs, ComparisonRequest(**{"metric": "figure", **request}))  # type: ignore[arg-type]


NARROW = "Intervals over 2 to 4 runs are too narrow: "


def lines_of(found: Comparison) -> tuple[str, ...]:
    """Return the findings without the caution about intervals of few runs."""
    return tuple(line for line in found.findings if not line.startswith(NARROW))


CLEAR = (*runs_of(1, 1.0, 2.0, 3.0, 4.0), *runs_of(2, 11.0, 12.0, 13.0, 14.0))

# ----------------------------------------------------------------------------------------------------------- verdicts


def test_clear_difference_is_decided() -> None:
    found = compared(*CLEAR)
    assert lines_of(found) == ("x=2 beats x=1 (P = 1.00 [0.55, 1.00], n = 4 and 4)",)
    (pair,) = found.pairs
    assert (pair.better, pair.other, pair.decided, pair.more_seeds) == ("x=2", "x=1", True, 0)


def test_undecided_pair_reports_how_many_seeds_it_needs() -> None:
    found = compared(*runs_of(1, 1.0, 2.0, 3.0), *runs_of(2, 11.0, 12.0, 13.0))
    assert lines_of(found) == (
        "x=2 against x=1: not decided (P = 1.00 [0.45, 1.00], n = 3 and 3); needs at least 1 more seed per group",
    )


def test_equal_groups_are_not_decided_by_any_number_of_seeds() -> None:
    found = compared(*runs_of(1, 1.0, 2.0), *runs_of(2, 1.0, 2.0))
    assert "not decided (P = 0.50" in found.findings[0]
    assert found.findings[0].endswith("100 more seeds per group would not be enough")


def test_group_that_wins_more_often_is_better_even_with_a_lower_mean() -> None:
    """One run of x=1 makes its mean; two of three lose to every run of x=2."""
    (pair,) = compared(*runs_of(1, 0.0, 0.0, 100.0), *runs_of(2, 1.0, 1.0, 1.0)).pairs
    assert (pair.better, pair.other) == ("x=2", "x=1")
    assert pair.probability.estimate == pytest.approx(2 / 3)


def test_lower_loss_is_better() -> None:
    runs = [replace(run, rows={**run.rows, "loss/actor": run.rows["figure"]}) for run in CLEAR]
    found = compare(
        [replace(run, columns=(*run.columns, "loss/actor")) for run in runs], ComparisonRequest("loss/actor")
    )
    assert found.findings[0].startswith("x=1 beats x=2 (P = 1.00")
    assert found.lower_is_better


def test_best_group_is_compared_with_each_other_group() -> None:
    found = compared(*CLEAR, *runs_of(3, 21.0, 22.0, 23.0, 24.0))
    assert [line.split(" (")[0] for line in found.findings[:2]] == ["x=3 beats x=2", "x=3 beats x=1"]
    assert "Each verdict has its own level of 95 %: some of 2 may be due to chance" in found.findings
    assert len(found.pairs) == 3


def test_single_group_has_no_pairs() -> None:
    found = compared(*runs_of(1, 1.0, 2.0))
    assert (lines_of(found), found.pairs) == ((), ())


def test_verdict_reports_how_many_runs_of_each_group_count() -> None:
    young = replace(make_run("young", values=[], algo__x=1, run__seed=9), state="running")
    line = compared(*CLEAR, young).findings[0]
    assert line == "x=2 beats x=1 (P = 1.00 [0.55, 1.00], n = 4 and 4 of 5)"


def test_copies_of_one_seed_do_not_decide() -> None:
    copies = [*runs_of(1, 1.0), *runs_of(1, 1.0), *runs_of(1, 2.0), *runs_of(1, 3.0)]
    found = compared(*copies, *runs_of(2, 11.0, 12.0, 13.0, 14.0))
    assert not found.pairs[0].decided
    assert (found.pairs[0].runs, found.pairs[0].out_of) == ((4, 1), (4, 4))


def test_groups_of_different_tasks_are_not_compared() -> None:
    poles = [*runs_of(1, 1.0, 2.0, 3.0, 4.0, env__id="pole"), *runs_of(2, 5.0, 6.0, 7.0, 8.0, env__id="pole")]
    carts = [*runs_of(1, 100.0, 200.0, env__id="cart"), *runs_of(2, 300.0, 400.0, env__id="cart")]
    found = compared(*poles, *carts)
    assert [line.split(" (")[0] for line in found.findings[:2]] == [
        "x=2 id=cart against x=1 id=cart: not decided",
        "x=2 id=pole beats x=1 id=pole",
    ]
    assert len(found.pairs) == 2
    assert "Groups of different tasks (env.id) are not compared" in found.findings


def test_by_a_key_runs_are_paired_within_the_other_settings() -> None:
    """batch=8 is the easier setting; within each batch, x=2 wins."""
    easy = [*runs_of(1, 10.0, 11.0, algo__batch=8), *runs_of(2, 12.0, 13.0, algo__batch=8)]
    hard = [*runs_of(1, 1.0, 2.0, algo__batch=16), *runs_of(2, 3.0, 4.0, algo__batch=16)]
    found = compared(*easy, *hard, by="x")
    assert [group.label for group in found.groups] == ["x=1", "x=2"]
    assert (found.by, found.pooled) == ("x", ("algo.batch",))
    assert found.pairs[0].probability.estimate == 1
    assert any(line.startswith("Pooled over algo.batch;") for line in found.findings)


def test_by_a_key_without_a_shared_setting_all_runs_are_paired() -> None:
    found = compared(
        *runs_of(1, 1.0, 2.0, algo__batch=8), *runs_of(2, 3.0, 1.5, algo__batch=16), *runs_of(2, 0.0), by="x"
    )
    assert found.pairs[0].runs == (2, 3)


# ----------------------------------------------------------------------------------------------------------- cautions


def test_caution_about_intervals_of_few_runs() -> None:
    runs = [*runs_of(1, *range(5)), *runs_of(2, *range(4)), *runs_of(3, 0.0, 1.0), *runs_of(4, 0.0)]
    (line,) = [line for line in compared(*runs).findings if line.startswith(NARROW)]
    assert line == f"{NARROW}x=2, x=3"


def test_caution_about_single_runs() -> None:
    found = compared(*runs_of(1, 1.0), *runs_of(2, 11.0))
    assert "not decided" in found.findings[0]
    assert "needs at least 3 more seeds per group" in found.findings[0]
    assert "Single runs, whose spread is unknown: x=1, x=2" in found.findings
    assert np.isnan(found.statistics[0]["final"]["low"])


def test_caution_about_evaluations_only_at_the_end() -> None:
    rows = [evaluation(0, 0), evaluation(100, 5), evaluation(200, 9)]
    caution = "Evaluated once in training: test; set evaluation.every_env_steps for the time to a level"
    for kept, expected in ((rows[::2], True), (rows, False)):
        found = compare([replace(make_run(), evaluations=tuple(kept))], ComparisonRequest("evaluation/success_rate"))
        assert (caution in found.findings) == expected
    assert caution not in compared(make_run()).findings


def test_run_that_failed_early_is_left_out_with_a_caution() -> None:
    early = replace(make_run("early", values=[99.0], algo__x=1, run__seed=9), state="failed")
    long = [make_run(f"{seed}", values=[0.0] * 9 + [1.0], algo__x=1, run__seed=seed) for seed in (1, 2)]
    found = compared(*long, early)
    assert found.statistics[0]["final"]["values"] == [1.0, 1.0]
    assert (found.statistics[0]["runs"], found.statistics[0]["counted"]) == (3, 2)
    (line,) = lines_of(found)
    assert line.endswith(
        "left out (no value, or less than half of the env steps of their setting's longest run): early (failed)"
    )


def test_caution_about_groups_without_a_value() -> None:
    found = compared(*runs_of(1, 1.0, 2.0), replace(make_run("young", values=[], algo__x=2), state="running"))
    assert lines_of(found) == ("x=2: no run has a value yet: young (running)",)
    assert found.threshold == 1.5


def test_caution_about_final_values_from_different_env_steps() -> None:
    old = [make_run(f"old {seed}", values=[1.0] * 9, algo__x=2, run__seed=seed) for seed in (1, 2)]
    lines = compared(*runs_of(1, 1.0, 2.0), *old).findings
    assert lines[-1] == "Final values are from different env steps: 200 (x=1, 1) to 900 (old 2)"


def test_caution_about_one_run_with_fewer_env_steps_than_its_group() -> None:
    """The median of its group would hide it."""
    late = replace(make_run("late", values=[1.0] * 5, algo__x=1, run__seed=9), state="failed")
    lines = compared(*(make_run(f"{seed}", values=[1.0] * 9, algo__x=1, run__seed=seed) for seed in (1, 2)), late)
    assert "Final values are from different env steps: 500 (late) to 900 (2)" in lines.findings


def test_caution_about_unfinished_runs_that_count() -> None:
    states = ("finished", "interrupted", "running", "failed")
    runs = [replace(run, state=state) for run, state in zip(runs_of(1, 1.0, 2.0, 3.0, 4.0), states, strict=True)]
    (line,) = lines_of(compared(*runs))
    assert line == "Unfinished runs count with their last value: x=1, 3 (running), x=1, 4 (failed)"


def test_caution_about_settings_that_depend_on_the_machine() -> None:
    runs = [*runs_of(1, 1.0, 2.0, hardware__num_env_runners=4), *runs_of(1, 1.0, 2.0, hardware__num_env_runners=8)]
    line = (
        "Groups differ in hardware.num_env_runners: auto depends on the machine and the sweep's slot; set it to compare"
    )
    assert line in compared(*runs).findings


def test_a_key_that_an_algorithm_lacks_is_no_difference_between_machines() -> None:
    dreamer = runs_of(1, 1.0, 2.0, algo__name="dreamerv3", algo__backend="fused")
    lines = compared(*dreamer, *runs_of(1, 1.0, 2.0, algo__name="ppo")).findings
    assert not [line for line in lines if "algo.backend" in line]


def test_two_values_of_a_key_that_a_third_group_lacks_are_a_difference() -> None:
    dreamer = [one for backend in ("eager", "fused") for one in runs_of(1, 1.0, algo__backend=backend)]
    lines = compared(*dreamer, *runs_of(2, 1.0, 2.0)).findings
    assert any(line.startswith("Groups differ in algo.backend: auto depends on the machine") for line in lines)


def test_caution_about_different_rewards() -> None:
    lines = compared(*runs_of(1, 1.0, 2.0, env__reward=1), *runs_of(1, 1.0, 2.0, env__reward=2)).findings
    assert "Groups differ in env.reward: the better one may have an easier task or another scale" in lines


def test_caution_about_repeated_seeds() -> None:
    lines = lines_of(compared(*runs_of(1, 1.0, 2.0), *runs_of(1, 3.0)))
    assert lines == ("test: runs of the same seed are not independent: seed 1",)


def test_caution_about_runs_of_different_commits() -> None:
    runs = [
        replace(run, provenance={"git": {"commit": commit * 40, "dirty": False}})
        for run, commit in zip(runs_of(1, 1.0, 2.0), "ab", strict=True)
    ]
    assert lines_of(compared(*runs)) == ("test: runs of 2 versions of the code: aaaaaaaaaa, bbbbbbbbbb",)


def resumed(changed: object, commit: str = "a") -> Run:
    git = {"commit": "a" * 40, "dirty": False}
    resume = {"changed": changed, "git": {**git, "commit": commit * 40}}
    return replace(make_run("resumed"), provenance={"git": git, "resumes": [resume]})


def test_caution_about_a_resume_with_changed_settings() -> None:
    changed = {"algo.actor_lr": {}, "run.train_iterations": {}, "tracking.name": {}, "run.log_level": {}}
    assert compared(resumed(changed)).findings[-1] == "resumed: resumed with changed settings: algo.actor_lr"


def test_no_caution_about_a_longer_run_or_foreign_resume_entries() -> None:
    odd = replace(make_run("odd"), provenance={"resumes": [3, {"changed": [1]}]})
    odder = replace(make_run("odder", run__seed=2), provenance={"resumes": 7})
    longer = replace(resumed({"run.train_iterations": {}}), config={**make_run().config, "run.seed": 3})
    assert not [line for line in compared(odd, odder, longer).findings if "resumed" in line]


def test_caution_about_a_resume_with_another_commit() -> None:
    line = compared(resumed({}, "b")).findings[-1]
    assert line == "test: runs of 2 versions of the code: aaaaaaaaaa, bbbbbbbbbb"
