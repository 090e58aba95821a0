"""README's table of keys is the schema's: `python -m dreamer_exp.config.key_reference README.md` renews it."""

import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from dreamer_exp.config.compose import config_dir
from dreamer_exp.config.composition_errors import all_keys
from dreamer_exp.config.key_reference import BEGIN, END, groups_and_keys, rewritten
from dreamer_exp.config.schema import ExperimentConfig
from tests.paths import CHECKOUT

TABLE = groups_and_keys()
ROWS = [line for line in TABLE.splitlines() if line.startswith("| `")]


def test_readmes_table_is_the_schemas() -> None:
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")

    assert readme == rewritten(readme), "README.md is stale: python -m dreamer_exp.config.key_reference README.md"


def test_every_key_has_a_row() -> None:
    assert {row.split("`")[1] for row in ROWS} == set(all_keys())


def test_every_row_has_four_cells_and_each_of_them_says_something() -> None:
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in ROWS]

    assert [row for row in cells if len(row) != 4 or not all(row)] == []


@pytest.mark.parametrize(
    "group", [declared.name for declared in fields(ExperimentConfig) if is_dataclass(declared.type)]
)
def test_every_group_is_listed_with_its_options(group: str) -> None:
    (line,) = [line for line in TABLE.splitlines() if line.startswith(f"**`{group}`**")]
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
def test_a_row_has_the_key_its_default_what_it_allows_and_what_it_means(row: str) -> None:
    assert row in ROWS


def test_a_default_is_what_conf_says_where_the_schema_says_otherwise() -> None:
    assert any(row.startswith("| `evaluation.episodes` | `20` |") for row in ROWS)


def test_the_command_renews_what_is_between_the_markers_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n\n{BEGIN}\nstale\n{END}\n\nAfter\n", encoding="utf-8")

    command = [sys.executable, "-m", "dreamer_exp.config.key_reference", str(readme)]
    subprocess.run(command, cwd=CHECKOUT, check=True, timeout=120)

    assert readme.read_text(encoding="utf-8") == f"# Before\n\n{BEGIN}\n{TABLE}{END}\n\nAfter\n"


@pytest.mark.parametrize("readme", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_readme_without_one_place_for_the_table_is_refused(readme: str) -> None:
    with pytest.raises(ValueError, match="each once and in this order"):
        rewritten(readme)
