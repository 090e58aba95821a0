"""Runs -> groups that are equal but for their seed."""

from dataclasses import replace

import pytest

from dreamer_exp.compare.files import flatten
from dreamer_exp.compare.group import group
from dreamer_exp.compare.model import Run
from dreamer_exp.config.errors import UserError
from tests.compare.folders import made_run
from tests.experiments import nano


def typed(run: Run, *words: str) -> Run:
    return replace(run, provenance={"command_line": ["__main__.py", *words]})


def labels(*runs: Run) -> list[str]:
    return [one.label for one in group(runs).groups]


def test_runs_that_differ_in_their_seed_alone_are_one_group() -> None:
    runs = [made_run(run__seed=1, algo__x=1), made_run(run__seed=2, algo__x=1), made_run(run__seed=1, algo__x=2)]
    found = group(runs)
    assert [[run.config["run.seed"] for run in one.runs] for one in found.groups] == [[1, 2], [1]]
    assert found.differing == ("algo.x",)


def test_groups_are_those_of_the_fingerprint() -> None:
    """What the fingerprint leaves out makes no group, nor does the seed; anything else does."""
    one = nano()
    renamed = replace(
        one,
        run=replace(one.run, id="other", log_level="WARNING", keep_checkpoints=9),
        tracking=replace(one.tracking, tags=["mine"]),
    )
    seeded = replace(one, run=replace(one.run, seed=7))
    longer = replace(one, run=replace(one.run, train_iterations=one.run.train_iterations + 1))
    runs = [replace(made_run(), config=flatten(each.to_dict())) for each in (one, renamed, seeded, longer)]
    assert one.fingerprint() == renamed.fingerprint() != longer.fingerprint()
    assert [len(each.runs) for each in group(runs).groups] == [3, 1]


@pytest.mark.parametrize(
    ("key", "values"),
    [("evaluation__baselines", ([], ["orca"])), ("evaluation__every_env_steps", (0, 9)),
     ("algo__replay_device", ("cpu", "cuda"))],
)  # fmt: skip
def test_how_a_run_is_measured_and_where_its_memory_lies_part_no_group(key: str, values: tuple[object, object]) -> None:
    runs = [made_run(**{key: value}) for value in values]
    assert len(group(runs).groups) == 1
    assert len(group(runs, key.replace("__", ".")).groups) == 2  # unless asked for


def test_a_label_is_the_differing_keys_in_short_form() -> None:
    runs = [made_run(algo__training_ratio=ratio, algo__batch=batch) for ratio in (32.0, 64.0) for batch in (8, 16)]
    assert labels(*runs) == [
        "training_ratio=32 batch=8",
        "training_ratio=32 batch=16",
        "training_ratio=64 batch=8",
        "training_ratio=64 batch=16",
    ]


def test_groups_are_in_the_order_of_their_values_numbers_by_size() -> None:
    assert labels(*(made_run(algo__x=x) for x in (128, 8, "auto", 32))) == ["x=8", "x=32", "x=128", "x=auto"]


def test_a_short_form_that_two_keys_share_is_not_used() -> None:
    runs = [made_run(env__name=env, algo__name=algo) for env in ("a", "b") for algo in ("c", "d")]
    assert labels(*runs)[0] == "env.name=a algo.name=c"


def test_keys_that_follow_from_another_are_left_out_of_a_label() -> None:
    runs = [made_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    assert labels(*runs) == ["size=M", "size=S"]
    assert group(runs).groups[0].settings == {"algo.size": "M", "algo.units": 512}


def test_the_keys_that_were_typed_name_a_group_first() -> None:
    runs = [made_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    assert labels(*(typed(run, "algo.units=1") for run in runs)) == ["units=256", "units=512"]


def test_what_a_sweep_set_names_a_group_too() -> None:
    runs = [made_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))]
    swept = [replace(run, job={"name": "algo.units=1 run.seed=1"}) for run in runs]
    assert labels(*swept) == ["units=256", "units=512"]


def test_groups_of_other_names_are_called_by_them() -> None:
    runs = [made_run(run__id=name, env__a=a, env__b=b) for name, a, b in (("pole", 1, 1), ("cart", 2, 2))]
    assert labels(*runs) == ["cart", "pole"]


def test_a_name_that_says_nothing_of_the_setting_is_not_used() -> None:
    runs = [made_run(run__id=name, algo__x=x) for name in ("mine", "yours") for x in (1, 2)]
    assert labels(*runs) == ["x=1", "x=2"]


def test_a_single_group_has_the_name_of_its_runs() -> None:
    assert labels(made_run(), made_run(run__seed=2)) == ["test"]
    assert labels(made_run(), made_run(run__id="other")) == ["all runs"]


def test_a_key_that_an_older_run_lacks_is_absent() -> None:
    assert labels(made_run(), made_run(algo__new=1)) == ["new=1", "new=absent"]


def test_two_floats_that_look_alike_have_labels_of_their_own() -> None:
    assert labels(made_run(algo__lr=1e-4), made_run(algo__lr=1.0000001e-4)) == ["lr=0.0001", "lr=0.00010000001"]


def test_runs_whose_config_is_lost_are_in_no_group() -> None:
    assert group([replace(made_run(), config={})]).groups == ()


def test_by_a_key_all_its_runs_are_one_group_whatever_else_differs() -> None:
    runs = [made_run(algo__ratio=ratio, algo__batch=batch) for ratio in (32, 64) for batch in (8, 16)]
    found = group(runs, "ratio")
    assert [(one.label, len(one.runs)) for one in found.groups] == [("ratio=32", 2), ("ratio=64", 2)]
    assert (found.differing, found.rest) == (("algo.ratio",), ("algo.batch",))


def test_by_a_key_what_follows_from_it_is_no_rest() -> None:
    found = group([made_run(algo__size=size, algo__units=units) for size, units in (("S", 256), ("M", 512))], "size")
    assert (found.differing, found.rest) == (("algo.size", "algo.units"), ())


def test_by_what_is_known_of_the_code() -> None:
    runs = [replace(made_run(), provenance={"git": {"commit": commit * 40, "dirty": False}}) for commit in "ab"]
    assert [one.label for one in group(runs, "git").groups] == ["git=aaaaaaaaaa", "git=bbbbbbbbbb"]


def test_by_a_misspelt_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"--by ratoi is no key of these runs\. Did you mean 'ratio'\?"):
        group([made_run(algo__ratio=1)], "ratoi")


def test_by_the_end_of_two_keys_is_refused() -> None:
    with pytest.raises(UserError, match=r"--by name is the end of 2 keys: env.name, algo.name"):
        group([made_run(env__name="a", algo__name="b")], "name")
