"""The page of every key: `python -m dreamer_exp.config.key_reference docs/reference/keys.md` updates it."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from dreamer_exp.config.compose import config_dir
from dreamer_exp.config.composition_errors import all_keys
from dreamer_exp.config.key_reference import BEGIN, END, groups_and_keys, update_page
from dreamer_exp.config.schema import ExperimentConfig
from tests import programs
from tests.paths import CHECKOUT

PAGE = "docs/reference/keys.md"
TABLE = groups_and_keys()
ROWS = [line for line in TABLE.splitlines() if line.startswith("| `")]


def test_page_of_keys_is_up_to_date() -> None:
    page = (CHECKOUT / PAGE).read_text(encoding="utf-8")

    assert page == update_page(page), f"{PAGE} is stale: python -m dreamer_exp.config.key_reference {PAGE}"


def test_every_key_has_a_row() -> None:
    assert {row.split("`")[1] for row in ROWS} == set(all_keys())


def test_every_row_has_four_nonempty_cells() -> None:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in ROWS]

    assert [row for row in cells if len(row) != 4 or not all(row)] == []


@pytest.mark.parametrize(
    "group", [declared.name for declared in fields(ExperimentConfig) if is_dataclass(declared.type)]
)
def test_every_group_is_listed_with_its_options(group: str) -> None:
    line = TABLE.partition(f"## `{group}`\n\n")[2].partition("\n")[0]
    options = [path.stem for path in (config_dir() / group).glob("*.yaml")]

    assert all(option in line for option in options)


@pytest.mark.parametrize(
    "row",
    [
        "| `algo.horizon_H` | `10` | whole number, 1 or more | imagined steps |",
        "| `algo.gamma` | `0.997` | number, more than 0, at most 1 | discount |",
        "| `hardware.num_cpus` | `auto` | whole number, 1 or more; or auto | CPUs given to the run |",
        "| `dry_run` | `false` | true or false | print what would happen, and stop |",
    ],
)
def test_row_has_key_default_allowed_values_and_meaning(row: str) -> None:
    assert row in ROWS


def test_default_in_conf_takes_precedence_over_the_schema() -> None:
    assert any(row.startswith("| `evaluation.episodes` | `20` |") for row in ROWS)


def test_command_replaces_only_the_text_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "keys.md"
    page.write_text(f"# Before\n\n{BEGIN}\nstale\n{END}\n\nAfter\n", encoding="utf-8")

    assert programs.run(str(page), module="dreamer_exp.config.key_reference").returncode == 0

    assert page.read_text(encoding="utf-8") == f"# Before\n\n{BEGIN}\n{TABLE}{END}\n\nAfter\n"


@pytest.mark.parametrize("page", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_page_without_exactly_one_pair_of_markers_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="each once and in this order"):
        update_page(page)
