"""Values of text keys stay as they are typed."""

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.config.text_values import as_typed
from tests.config.composing import loaded


@pytest.mark.parametrize("text", ["5e10", "1_000", "007", "1.50", "-.5e-3", "nan", "true", "12M", "a-1"])
def test_text_that_looks_like_a_number_stays_text(text: str) -> None:
    assert loaded(*as_typed([f"tracking.group={text}"])).tracking.group == text


def test_each_element_of_a_list_of_texts_stays_text() -> None:
    assert loaded(*as_typed(["tracking.tags=[1e3,02,a]"])).tracking.tags == ["1e3", "02", "a"]


def test_a_text_key_of_one_environment_is_known() -> None:
    assert as_typed(["env.id=1e3"]) == ["env.id='1e3'"]


def test_null_stays_null() -> None:
    assert loaded(*as_typed(["tracking.group=null"])).tracking.group is None


@pytest.mark.parametrize(
    "word", ["run.seed=5", "run.id='5e10'", "run.id=${run.seed}", "algo=1", "-m", "hydra.run.dir=5", "run.id=name"]
)
def test_other_words_are_not_changed(word: str) -> None:
    assert as_typed([word]) == [word]


def test_the_values_of_a_sweep_are_quoted_one_by_one() -> None:
    assert as_typed(["run.id=1e3,b,2"]) == ["run.id='1e3',b,'2'"]


def test_a_text_with_choices_is_refused_as_it_was_typed() -> None:
    with pytest.raises(UserError, match=r"tracking\.mode='1' is not one of: offline, online"):
        loaded(*as_typed(["tracking.mode=1"]))


@pytest.mark.parametrize("path", ["/data/1,000,0_x", "'/data/1,000,000 steps/run'"])
@pytest.mark.parametrize("key", ["resume", "sweep.resume"])
def test_a_path_with_commas_is_not_changed(key: str, path: str) -> None:
    assert as_typed([f"{key}={path}"]) == [f"{key}={path}"]


def test_a_comma_in_quotes_separates_nothing() -> None:
    assert loaded(*as_typed(["tracking.tags=['a,1,b',2]"])).tracking.tags == ["a,1,b", "2"]


@pytest.mark.parametrize("key", ["init_from", "run.init_from"])
def test_the_path_of_a_policy_is_quoted_whether_it_exists_or_not(key: str) -> None:
    assert as_typed([f"{key}=no such (run)=1"]) == ["run.init_from='no such (run)=1'"]


@pytest.mark.parametrize("word", ["init_from=null", "init_from='a b'", "init_from=a,b"])
def test_null_quoted_paths_and_sweeps_of_policies_are_not_quoted(word: str) -> None:
    assert as_typed([word]) == [f"run.{word}"]


def test_a_plus_in_front_of_a_short_key_stays() -> None:
    assert as_typed(["++init_scope=encoder"]) == ["++run.init_scope=encoder"]
