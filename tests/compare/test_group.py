"""Groups of runs."""

from dataclasses import replace

import pytest

from dreamer_exp.compare.group import group_runs, strata
from dreamer_exp.compare.model import Run
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.parse import leaves
from tests.compare.folders import make_run
from tests.experiments import nano


def with_command_line(run: Run, *words: str) -> Run:
    return replace(run, provenance={"command_line": ["__main__.py", *words]})


def labels(*runs: Run) -> list[str]:
    return [one.label for one in group_runs(runs).groups]


def test_runs_that_differ_only_in_their_seed_form_one_group() -> None:
    runs = [make_run(run__seed=1, algo__x=1), make_run(run__seed=2, algo__x=1), make_run(run__seed=1, algo__x=2)]
    found = group_runs(runs)
    assert [[run.config["run.seed"] for run in one.runs] for one in found.groups] == [[1, 2], [1]]
    assert found.differing == ("algo.x",)


def test_groups_match_the_fingerprint() -> None:
    """Keys outside of the fingerprint and the seed do not separate groups; all others do."""
    base = nano()
    renamed = replace(
        base,
        run=replace(base.run, id="other", log_level="WARNING", keep_checkpoints=9),
        tracking=replace(base.tracking, tags=["mine"]),
    )
    seeded = replace(base, run=replace(base.run, seed=7))
    longer = replace(base, run=replace(base.run, train_iterations=base.run.train_iterations + 1))
    runs = [replace(make_run(), config=leaves(each.to_dict())) for each in (base, renamed, seeded, longer)]
    assert base.fingerprint() == renamed.fingerprint() != longer.fingerprint()
    assert [len(each.runs) for each in group_runs(runs).groups] == [3, 1]


@pytest.mark.parametrize(
    ("key", "values"),
    [("evaluation__baselines", ([], ["orca"])), ("evaluation__every_env_steps", (0, 9)),
     ("algo__replay_device", ("cpu", "cuda"))],
)  # fmt: skip
def test_measurement_and_memory_placement_do_not_separate_groups(key: str, values: tuple[object, object]) -> None:
    runs = [make_run(**{key: value}) for value in values]
    assert len(group_runs(runs).groups) == 1
    assert len(group_runs(runs, key.replace("__", ".")).groups) == 2  # unless requested


def test_label_has_the_differing_keys_in_short_form() -> None:
    runs = [make_run(algo__training_ratio=ratio, algo__batch=batch) for ratio in (32.0, 64.0) for batch in (8, 16)]
    assert labels(*runs) == [
        "training_ratio=32 batch=8",
        "training_ratio=32 batch=16",
        "training_ratio=64 batch=8",
        "training_ratio=64 batch=16",
    ]


def test_groups_are_sorted_by_their_values_with_numbers_by_size() -> None:
    assert labels(*(make_run(algo__x=x) for x in (128, 8, "auto", 32))) == ["x=8", "x=32", "x=128", "x=auto"]


def test_short_form_is_not_used_if_two_keys_share_it() -> None:
    runs = [make_run(env__name=env, algo__name=algo) for env in ("a", "b") for algo in ("c", "d")]
    assert labels(*runs)[0] == "env.name=a algo.name=c"


def test_label_omits_keys_that_vary_with_another() -> None:
    runs = [make_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    assert labels(*runs) == ["size=M", "size=S"]
    assert group_runs(runs).groups[0].settings == {"algo.size": "M", "algo.units": 512}


def test_label_prefers_the_keys_of_the_command_line() -> None:
    runs = [make_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    assert labels(*(with_command_line(run, "algo.units=1") for run in runs)) == ["units=256", "units=512"]


def test_label_prefers_the_keys_that_a_sweep_set() -> None:
    runs = [make_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    swept = [replace(run, job={"name": "algo.units=1 run.seed=1"}) for run in runs]
    assert labels(*swept) == ["units=256", "units=512"]


def test_label_is_the_run_id_if_it_separates_the_settings() -> None:
    runs = [make_run(run__id=name, env__a=a, env__b=b) for name, a, b in (("pole", 1, 1), ("cart", 2, 2))]
    assert labels(*runs) == ["cart", "pole"]


def test_label_has_no_run_id_that_is_unrelated_to_the_setting() -> None:
    runs = [make_run(run__id=name, algo__x=x) for name in ("mine", "yours") for x in (1, 2)]
    assert labels(*runs) == ["x=1", "x=2"]


def test_single_group_is_labelled_by_the_run_id() -> None:
    assert labels(make_run(), make_run(run__seed=2)) == ["test"]
    assert labels(make_run(), make_run(run__id="other")) == ["all runs"]


def test_key_that_an_older_run_lacks_is_absent() -> None:
    assert labels(make_run(), make_run(algo__new=1)) == ["new=1", "new=absent"]


def test_floats_that_differ_slightly_have_different_labels() -> None:
    assert labels(make_run(algo__lr=1e-4), make_run(algo__lr=1.0000001e-4)) == ["lr=0.0001", "lr=0.00010000001"]


def test_runs_without_a_config_are_in_no_group() -> None:
    assert group_runs([replace(make_run(), config={})]).groups == ()


def test_by_a_key_groups_pool_all_other_settings() -> None:
    runs = [make_run(algo__ratio=ratio, algo__batch=batch) for ratio in (32, 64) for batch in (8, 16)]
    found = group_runs(runs, "ratio")
    assert [(one.label, len(one.runs)) for one in found.groups] == [("ratio=32", 2), ("ratio=64", 2)]
    assert (found.differing, found.pooled) == (("algo.ratio",), ("algo.batch",))


def test_by_a_key_keys_that_vary_with_it_are_not_pooled() -> None:
    runs = [make_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    found = group_runs(runs, "size")
    assert (found.differing, found.pooled) == (("algo.size", "algo.units"), ())


def test_by_a_property_of_the_code() -> None:
    runs = [replace(make_run(), provenance={"git": {"commit": commit * 40, "dirty": False}}) for commit in "ab"]
    assert [one.label for one in group_runs(runs, "git").groups] == ["git=aaaaaaaaaa", "git=bbbbbbbbbb"]


def test_by_a_misspelt_key_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UserError, match=r"--by ratoi is not a key of these runs\. Did you mean 'ratio'\?"):
        group_runs([make_run(algo__ratio=1)], "ratoi")


def test_by_the_end_of_two_keys_is_refused() -> None:
    with pytest.raises(UserError, match=r"--by name matches 2 keys: env.name, algo.name"):
        group_runs([make_run(env__name="a", algo__name="b")], "name")


def test_strata_are_the_settings_regardless_of_seed() -> None:
    runs = [make_run(algo__x=x, run__seed=seed) for x, seed in ((1, 1), (2, 1), (1, 2), (2, 2))]
    assert strata(runs) == ((0, 2), (1, 3))


def test_all_runs_form_one_stratum_if_a_setting_has_a_single_run() -> None:
    runs = [make_run(algo__x=x, run__seed=seed) for x, seed in ((1, 1), (2, 1), (1, 2))]
    assert strata(runs) == ((0, 1, 2),)
