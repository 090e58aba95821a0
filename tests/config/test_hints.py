"""Words that are an option or a value elsewhere."""

import pytest

from dreamer_exp.config.hints import option_hint


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("quickstart", "experiment=quickstart"),
        ("quickstar", "experiment=quickstart"),
        ("gym", "env=gym"),
        ("tiny", "algo.model_size=nano"),
        ("gpu", "hardware=cuda"),
        ("bfloat16", "algo.precision=bfloat16"),
        ("dreamerv3", "algo=dreamerv3"),
    ],
)
def test_an_option_is_found_in_its_group(word: str, setting: str) -> None:
    assert option_hint(word) == f" Did you mean {setting!r}?"


def test_a_word_unlike_all_options_has_no_hint() -> None:
    assert option_hint("0123456789") == ""
