"""The comparison and its answer in words."""

from dataclasses import replace

import numpy as np
import pytest

from dreamer_exp.compare.comparison import ComparisonRequest, compare
from dreamer_exp.compare.model import Comparison, Run
from tests.compare.folders import evaluation, made_run


def runs_of(x: object, *finals: float, **config: object) -> list[Run]:
    """Runs of one setting, a seed each."""
    return [
        made_run(f"x={x}, {seed}", values=[0.0, final], algo__x=x, run__seed=seed, **config)
        for seed, final in enumerate(finals, 1)
    ]


def compared(*runs: Run, **question: object) -> Comparison:
    return compare(runs, ComparisonRequest(**{"metric": "figure", **question}))  # type: ignore[arg-type]


NARROW = "An interval of 2 to 4 runs is too narrow: "


def lines_of(found: Comparison) -> tuple[str, ...]:
    """The findings, without the caution that few runs give narrow intervals."""
    return tuple(line for line in found.findings if not line.startswith(NARROW))


CLEAR = (*runs_of(1, 1.0, 2.0, 3.0, 4.0), *runs_of(2, 11.0, 12.0, 13.0, 14.0))


def test_a_clear_difference_is_told_in_words() -> None:
    found = compared(*CLEAR)
    assert lines_of(found) == ("x=2 beats x=1 (P = 1.00 [0.55, 1.00], n = 4 and 4)",)
    (pair,) = found.pairs
    assert (pair.better, pair.other, pair.decided, pair.more_seeds) == ("x=2", "x=1", True, 0)


def test_what_is_not_decided_tells_how_many_seeds_would() -> None:
    found = compared(*runs_of(1, 1.0, 2.0, 3.0), *runs_of(2, 11.0, 12.0, 13.0))
    assert lines_of(found) == (
        "x=2 against x=1: not decided (P = 1.00 [0.45, 1.00], n = 3 and 3); at least 1 more seed each would",
    )


def test_groups_that_are_alike_are_told_as_such() -> None:
    found = compared(*runs_of(1, 1.0, 2.0), *runs_of(2, 1.0, 2.0))
    assert "not decided (P = 0.50" in found.findings[0]
    assert found.findings[0].endswith("even 100 more seeds each would not do")


def test_the_group_that_wins_more_often_is_the_better_one_even_if_its_mean_is_lower() -> None:
    """One run of x=1 makes its mean; two of three lose to every run of x=2."""
    (pair,) = compared(*runs_of(1, 0.0, 0.0, 100.0), *runs_of(2, 1.0, 1.0, 1.0)).pairs
    assert (pair.better, pair.other) == ("x=2", "x=1")
    assert pair.probability.estimate == pytest.approx(2 / 3)


def test_of_a_loss_less_is_better() -> None:
    runs = [replace(run, rows={**run.rows, "loss/actor": run.rows["figure"]}) for run in CLEAR]
    found = compare(
        [replace(run, columns=(*run.columns, "loss/actor")) for run in runs], ComparisonRequest("loss/actor")
    )
    assert found.findings[0].startswith("x=1 beats x=2 (P = 1.00")
    assert found.lower_is_better


def test_an_interval_of_few_runs_is_called_too_narrow() -> None:
    runs = [*runs_of(1, *range(5)), *runs_of(2, *range(4)), *runs_of(3, 0.0, 1.0), *runs_of(4, 0.0)]
    (line,) = [line for line in compared(*runs).findings if line.startswith(NARROW)]
    assert line == f"{NARROW}x=2, x=3"


def test_settings_taken_together_with_a_seed_each_have_an_interval_of_some_width() -> None:
    (told,) = compared(*(run for x in range(6) for run in runs_of(x, float(x))), by="run.id").statistics
    assert told["final"]["high"] - told["final"]["low"] > 1


def test_a_time_to_a_level_needs_evaluations_on_the_way() -> None:
    rows = [evaluation(0, 0), evaluation(100, 5), evaluation(200, 9)]
    caution = "Evaluated only at the end: test: for the time to a level set evaluation.every_env_steps"
    for kept, is_told in ((rows[::2], True), (rows, False)):
        found = compare([replace(made_run(), evaluations=tuple(kept))], ComparisonRequest("evaluation/success_rate"))
        assert (caution in found.findings) == is_told
    assert caution not in compared(made_run()).findings


def test_a_single_run_is_called_one() -> None:
    found = compared(*runs_of(1, 1.0), *runs_of(2, 11.0))
    assert "not decided" in found.findings[0]
    assert "at least 3 more seeds each would" in found.findings[0]
    assert "A single run, so nothing is known of the spread: x=1, x=2" in found.findings
    assert np.isnan(found.statistics[0]["final"]["low"])


def test_the_best_group_is_set_against_each_other_one() -> None:
    found = compared(*CLEAR, *runs_of(3, 21.0, 22.0, 23.0, 24.0))
    assert [line.split(" (")[0] for line in found.findings[:2]] == ["x=3 beats x=2", "x=3 beats x=1"]
    assert "Each verdict holds at 95 % by itself: of 2, some may be chance" in found.findings
    assert len(found.pairs) == 3


def test_one_group_has_nothing_to_beat() -> None:
    found = compared(*runs_of(1, 1.0, 2.0))
    assert (lines_of(found), found.pairs) == ((), ())


def test_a_run_that_broke_early_is_left_out_and_told() -> None:
    early = replace(made_run("early", values=[99.0], algo__x=1, run__seed=9), state="failed")
    long = [made_run(f"{seed}", values=[0.0] * 9 + [1.0], algo__x=1, run__seed=seed) for seed in (1, 2)]
    found = compared(*long, early)
    assert found.statistics[0]["final"]["values"] == [1.0, 1.0]
    assert (found.statistics[0]["runs"], found.statistics[0]["counted"]) == (3, 2)
    (line,) = lines_of(found)
    assert line.endswith("left out, without a value, or short of half of its setting's way: early (failed)")


def test_a_group_without_a_value_is_told() -> None:
    found = compared(*runs_of(1, 1.0, 2.0), replace(made_run("young", values=[], algo__x=2), state="running"))
    assert lines_of(found) == ("x=2: no run has a value yet: young (running)",)
    assert found.threshold == 1.5


def test_final_values_of_different_ages_are_told() -> None:
    old = [made_run(f"old {seed}", values=[1.0] * 9, algo__x=2, run__seed=seed) for seed in (1, 2)]
    lines = compared(*runs_of(1, 1.0, 2.0), *old).findings
    assert lines[-1] == "Final values are of different ages: 200 env steps (x=1, 1) to 900 (old 2)"


def test_one_run_of_another_age_in_a_group_is_told() -> None:
    """The middle of its group would hide it."""
    late = replace(made_run("late", values=[1.0] * 5, algo__x=1, run__seed=9), state="failed")
    lines = compared(*(made_run(f"{seed}", values=[1.0] * 9, algo__x=1, run__seed=seed) for seed in (1, 2)), late)
    assert "Final values are of different ages: 500 env steps (late) to 900 (2)" in lines.findings


def test_runs_that_have_not_ended_but_count_are_told() -> None:
    states = ("finished", "interrupted", "running", "failed")
    runs = [replace(run, state=state) for run, state in zip(runs_of(1, 1.0, 2.0, 3.0, 4.0), states, strict=True)]
    (line,) = lines_of(compared(*runs))
    assert line == "Counted with the last value they have: x=1, 3 (running), x=1, 4 (failed)"


def test_a_verdict_tells_how_many_of_the_runs_it_is_of() -> None:
    young = replace(made_run("young", values=[], algo__x=1, run__seed=9), state="running")
    line = compared(*CLEAR, young).findings[0]
    assert line == "x=2 beats x=1 (P = 1.00 [0.55, 1.00], n = 4 and 4 of 5)"


def test_groups_that_a_machine_may_have_set_apart_are_told() -> None:
    runs = [*runs_of(1, 1.0, 2.0, hardware__num_env_runners=4), *runs_of(1, 1.0, 2.0, hardware__num_env_runners=8)]
    line = (
        "Groups differ in hardware.num_env_runners: auto resolves by machine and by a sweep's slot; set it to compare"
    )
    assert line in compared(*runs).findings


def test_how_a_run_is_measured_is_among_the_differences_but_parts_no_group() -> None:
    found = compared(*runs_of(1, 1.0, evaluation__baselines=[]), *runs_of(1, 2.0, evaluation__baselines=["orca"]))
    assert len(found.groups) == 1
    assert [one.key for one in found.differences] == ["evaluation.baselines"]


def test_groups_of_different_tasks_are_not_set_against_each_other() -> None:
    poles = [*runs_of(1, 1.0, 2.0, 3.0, 4.0, env__id="pole"), *runs_of(2, 5.0, 6.0, 7.0, 8.0, env__id="pole")]
    carts = [*runs_of(1, 100.0, 200.0, env__id="cart"), *runs_of(2, 300.0, 400.0, env__id="cart")]
    found = compared(*poles, *carts)
    assert [line.split(" (")[0] for line in found.findings[:2]] == [
        "x=2 id=cart against x=1 id=cart: not decided",
        "x=2 id=pole beats x=1 id=pole",
    ]
    assert len(found.pairs) == 2
    assert "Groups of different tasks (env.id) are not set against each other" in found.findings


def test_groups_of_another_reward_are_told() -> None:
    lines = compared(*runs_of(1, 1.0, 2.0, env__reward=1), *runs_of(1, 1.0, 2.0, env__reward=2)).findings
    assert "The groups differ in env.reward: what looks better may be an easier task, or another scale" in lines


def test_a_seed_that_ran_twice_is_told() -> None:
    lines = lines_of(compared(*runs_of(1, 1.0, 2.0), *runs_of(1, 3.0)))
    assert lines == ("test: not independent, as they share a seed: runs of seed 1",)


def test_copies_of_one_seed_do_not_decide() -> None:
    copies = [*runs_of(1, 1.0), *runs_of(1, 1.0), *runs_of(1, 2.0), *runs_of(1, 3.0)]
    found = compared(*copies, *runs_of(2, 11.0, 12.0, 13.0, 14.0))
    assert not found.pairs[0].decided
    assert (found.pairs[0].runs, found.pairs[0].out_of) == ((4, 1), (4, 4))


def test_runs_of_one_group_from_two_commits_are_told() -> None:
    runs = [
        replace(run, provenance={"git": {"commit": commit * 40, "dirty": False}})
        for run, commit in zip(runs_of(1, 1.0, 2.0), "ab", strict=True)
    ]
    assert lines_of(compared(*runs)) == ("test: its runs come from 2 states of the code: aaaaaaaaaa, bbbbbbbbbb",)


def resumed(changed: object, commit: str = "a") -> Run:
    git = {"commit": "a" * 40, "dirty": False}
    again = {"changed": changed, "git": {**git, "commit": commit * 40}}
    return replace(made_run("again"), provenance={"git": git, "resumes": [again]})


def test_a_run_that_was_resumed_with_other_settings_is_told() -> None:
    changed = {"algo.actor_lr": {}, "run.train_iterations": {}, "tracking.name": {}, "run.log_level": {}}
    assert compared(resumed(changed)).findings[-1] == (
        "again: resumed with other settings (algo.actor_lr): its first part ran with others"
    )


def test_a_run_that_was_only_made_longer_or_tells_it_in_foreign_words_is_not() -> None:
    odd = replace(made_run("odd"), provenance={"resumes": [3, {"changed": [1]}]})
    odder = replace(made_run("odder", run__seed=2), provenance={"resumes": 7})
    longer = replace(resumed({"run.train_iterations": {}}), config={**made_run().config, "run.seed": 3})
    assert not [line for line in compared(odd, odder, longer).findings if "resumed" in line]


def test_a_run_that_was_resumed_with_other_code_is_told() -> None:
    line = compared(resumed({}, "b")).findings[-1]
    assert line == "test: its runs come from 2 states of the code: aaaaaaaaaa, bbbbbbbbbb"


def test_by_a_key_runs_are_paired_within_the_other_settings() -> None:
    """batch=8 is the easier setting; within each batch, x=2 wins."""
    easy = [*runs_of(1, 10.0, 11.0, algo__batch=8), *runs_of(2, 12.0, 13.0, algo__batch=8)]
    hard = [*runs_of(1, 1.0, 2.0, algo__batch=16), *runs_of(2, 3.0, 4.0, algo__batch=16)]
    found = compared(*easy, *hard, by="x")
    assert [group.label for group in found.groups] == ["x=1", "x=2"]
    assert (found.by, found.rest) == ("x", ("algo.batch",))
    assert found.pairs[0].probability.estimate == 1
    assert any(line.startswith("Taken together: algo.batch;") for line in found.findings)


def test_by_a_key_without_a_shared_setting_all_are_paired() -> None:
    found = compared(
        *runs_of(1, 1.0, 2.0, algo__batch=8), *runs_of(2, 3.0, 1.5, algo__batch=16), *runs_of(2, 0.0), by="x"
    )
    assert found.pairs[0].runs == (2, 3)


@pytest.mark.parametrize(("asked", "threshold"), [(None, 2.5), (7.0, 7.0)])
def test_the_threshold_is_what_half_of_the_groups_reach_or_the_one_asked_for(
    asked: float | None, threshold: float
) -> None:
    assert compared(*CLEAR, threshold=asked).threshold == threshold


def test_faults_of_places_and_of_runs_are_kept() -> None:
    run = replace(made_run("broken"), faults=("result.jsonl: missing",))
    found = compare([run], ComparisonRequest("figure"), ["x: there is no such folder"])
    assert found.faults == ("x: there is no such folder", "broken: result.jsonl: missing")


def test_a_run_without_config_is_among_the_runs_but_in_no_group() -> None:
    lost = replace(made_run("lost"), config={}, state="failed")
    found = compared(*runs_of(1, 1.0, 2.0), lost)
    assert lost in found.runs
    assert len(found.groups[0].runs) == 2


def test_equal_runs_give_an_equal_comparison() -> None:
    assert compared(*CLEAR).statistics == compared(*CLEAR).statistics
