"""`python -m dreamer_exp.compare`: its output, files and errors."""

import csv
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import matplotlib.image
import pytest

from dreamer_exp.cli import compare
from dreamer_exp.config.errors import UserError
from tests.compare.folders import config, write_run

FILES = ["bars.png", "compare.csv", "compare.html", "compare.json", "compare_runs.csv", "learning_curves.png"]


def write_sweep(folder: Path) -> Path:
    """Write two settings of four seeds, the second better; a failed run, a job that never started, a foreign file."""
    for number in range(8):
        ratio, seed = (32.0, 64.0)[number // 4], number % 4 + 1
        tree, won = config(seed, training_ratio=ratio, derived=-ratio), (0, seed, 10 * (number // 4) + seed)
        write_run(folder / f"{number}_ratio={ratio:g}", tree, [1.0, seed], won)
    error = {"type": "Diverged", "message": "not finite"}
    broken = write_run(
        folder / "8_broken", config(5, derived=-32.0), [1.0], (0, 1), {"state": "failed", "error": error}
    )
    with open(broken / "result.jsonl", "a") as file:
        file.write('{"env_st')
    (folder / "9_never").mkdir()
    (folder / "9_never" / "console.log").write_text("Killed\n")
    (folder / "sweep_summary.json").write_text("{}")
    (folder / "foreign").write_text("")
    return folder


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "sweep")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder for such a sweep; `printed` next to it holds the printed text."""
    folder = tmp_path_factory.mktemp("compared")
    with redirect_stdout(io.StringIO()) as printed:
        compare.run([str(write_sweep(folder / "sweep")), "--out", str(folder / "out")])
    (folder / "printed").write_text(printed.getvalue())
    return folder / "out"


@pytest.fixture
def printed(out: Path) -> str:
    return (out.parent / "printed").read_text()


def test_output_fits_a_hundred_columns(printed: str) -> None:
    lines = printed.splitlines()
    assert max(len(line) for line in lines if not line.startswith("/")) <= 100
    assert lines[0] == "10 runs (8 finished, 2 failed) in 2 groups; evaluation/success_rate, higher is better"
    assert "training_ratio=64 beats training_ratio=32 (P = 1.00 [" in printed


def test_differences_are_printed_before_the_values(printed: str) -> None:
    assert re.search(r"algo.training_ratio +32 \(5\), 64 \(4\) +varies with 1 other key", printed)
    assert "algo.derived" not in printed
    assert 0 < printed.index("algo.training_ratio") < printed.index("IQM [95 %]") < printed.index("Findings")


def test_failed_runs_and_faults_are_printed(printed: str) -> None:
    assert "8_broken: failed, 100 env steps; Diverged: not finite" in printed
    assert "9_never: failed, no rows; Killed" in printed
    assert "8_broken: result.jsonl: the last line is cut off" in printed
    assert "not part of a run: foreign" in " ".join(printed.split())


def test_all_files_are_written_and_printed(printed: str, out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert all(str(out / name) in printed for name in FILES)


def test_compare_json_is_complete(out: Path) -> None:
    tree = json.loads((out / "compare.json").read_text())
    assert (tree["metric"], tree["lower_is_better"], tree["differing"]) == (
        "evaluation/success_rate", False, ["algo.training_ratio", "algo.derived"],
    )  # fmt: skip
    assert [group["label"] for group in tree["groups"]] == ["training_ratio=32", "training_ratio=64"]
    assert [run["run"] for run in tree["runs"]][-2:] == ["8_broken", "9_never"]
    assert tree["runs"][0] | {"folder": ""} == {
        "run": "0_ratio=32", "group": "training_ratio=32", "seed": 1, "state": "finished", "error": None,
        "env_steps": 200.0, "wall_s": 20.0, "final": 0.05, "best": 0.05,
        "env_steps_to_threshold": None, "wall_s_to_threshold": None,
        "algo.training_ratio": 32.0, "algo.derived": -32.0, "folder": "",
    }  # fmt: skip
    assert tree["pairs"][0]["probability"]["estimate"] > 0.5


def test_csv_files_have_a_row_per_group_and_a_row_per_run(out: Path) -> None:
    groups = list(csv.DictReader((out / "compare.csv").read_text().splitlines()))
    runs = list(csv.DictReader((out / "compare_runs.csv").read_text().splitlines()))
    assert [row["label"] for row in groups] == ["training_ratio=32", "training_ratio=64"]
    assert groups[0]["runs"] == "5"
    assert [row["run"] for row in runs][-1] == "9_never"
    assert runs[-1]["final"] == ""


@pytest.mark.parametrize("figure", ["learning_curves.png", "bars.png"])
def test_figures_are_drawn(out: Path, figure: str) -> None:
    pixels = matplotlib.image.imread(out / figure)
    assert min(pixels.shape[:2]) > 200
    assert len({tuple(pixel) for pixel in pixels[::7, ::7].reshape(-1, 4).tolist()}) > 10


def test_many_groups_get_a_panel_each(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    for number in range(12):
        write_run(many / str(number), config(x=number))
        if number < 2:
            write_run(few / str(number), config(x=number))
    sizes = []
    for folder in (few, many):
        compare.run([str(folder), "--out", str(folder / "out")])
        sizes.append(matplotlib.image.imread(folder / "out" / "learning_curves.png").shape[:2])
    assert sizes == [(539, 990), (792, 1210)]


def test_files_of_one_sweep_go_into_its_folder(sweep: Path) -> None:
    assert compare.run([str(sweep)]) == sweep
    assert (sweep / "compare.json").exists()
    assert "compare" not in json.loads((sweep / "compare.json").read_text())["faults"][0]


def test_files_of_other_paths_go_into_a_new_folder_in_outputs(
    sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = compare.run([str(sweep / "0_ratio=32"), str(sweep / "4_ratio=64")])
    assert re.fullmatch(r"outputs/compare_\d{8}T\d{6}Z_[0-9a-f]{4}", str(folder))
    assert (folder / "compare.html").exists()


def test_grouping_axis_metric_and_threshold_can_be_requested(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--by", "seed", "--metric", "loss/world_model", "--at", "wall", "--threshold", "0.5"]
    compare.run([str(sweep), *words, "--out", str(tmp_path / "out")])
    text = capsys.readouterr().out
    assert "in 5 groups by seed; loss/world_model, lower is better" in " ".join(text.split())
    assert "within groups" in text
    assert "time to 0.5" in text


def test_algorithms_are_compared_at_equal_cost_in_a_hundred_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        write_run(tmp_path / f"dreamerv3_{seed}", config(seed), successes=(0, 10 + seed, 20))
        write_run(tmp_path / f"ppo_{seed}", config(seed, name="ppo"), [1.0] * 4, successes=(0, 4, 8, 16, 20))
    compare.run([str(tmp_path), "--out", str(tmp_path / "out"), "--threshold", "0.8"])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if not line.startswith("/")]
    assert max(map(len, lines)) <= 100
    assert re.search(r"^ after 200 env steps +dreamerv3 +1 \[1, 1\] +best$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^ +ppo +0.4 \[0.4, 0.4\] +1.00 \[0.30, 1.00\], not decided$", "\n".join(lines), re.MULTILINE)
    assert re.search(r"^ ppo +2 of 2 +300 \[300, 300\] +30 s \[30 s, 30 s\] ", "\n".join(lines), re.MULTILINE)


def test_an_algorithm_without_evaluations_does_not_prevent_the_page(tmp_path: Path) -> None:
    for name, successes in (("dreamerv3", (0, 10, 20)), ("ppo", (0, 4, 8)), ("sac", ())):
        write_run(tmp_path / name, config(1, name=name), successes=successes)
    words = [str(tmp_path), "--by", "algo.name", "--metric", "evaluation/success_rate", "--threshold", "0.3"]
    compare.run([*words, "--out", str(tmp_path / "out")])
    assert "Cost of reaching" in (tmp_path / "out" / "compare.html").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "no run found. nowhere: there is no such folder."),
        ([], "the following arguments are required: PATH"),
        (["SWEEP", "--metric", "sucess_rate"], "Did you mean 'success_rate'?"),
        (["SWEEP", "--by", "trainig_ratio"], "Did you mean 'training_ratio'?"),
        (["SWEEP", "--at", "hours"], "invalid choice: 'hours'"),
        (["SWEEP", "--threshold", "high"], "argument --threshold: 'high' is no finite number, such as 0.9"),
        (["SWEEP", "--threshold", "nan"], "argument --threshold: 'nan' is no finite number, such as 0.9"),
        (["SWEEP", "--threshold", "inf"], "argument --threshold: 'inf' is no finite number, such as 0.9"),
        (["SWEEP", "--out", "SWEEP/foreign/out"], "cannot be written"),
        (["SWEEP", "--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_mistake_is_reported_in_one_line(sweep: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        compare.run([word.replace("SWEEP", str(sweep)) for word in words])
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_metric_without_a_name_lists_the_metrics(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.run([str(sweep), "--metric"]) is None
    names = capsys.readouterr().out.splitlines()
    assert {"evaluation/success_rate", "evaluation/return_mean", "loss/world_model"} <= set(names)
    assert not (sweep / "compare.html").exists()


def test_unknown_metric_is_answered_with_those_there_are(sweep: Path) -> None:
    with pytest.raises(UserError, match=r"is not a metric of these runs.*They have: evaluation/.*loss/world_model"):
        compare.run([str(sweep), "--metric", "nonsense"])


def test_mistake_exits_with_code_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dreamer_exp.compare", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"dreamer_exp: compare: no run found. {tmp_path}: holds no run.\n"


def deep(root: Path) -> None:
    (root / "experiment.yaml").write_text("{a: " * 3000 + "1" + "}" * 3000)


def unreadable_name(root: Path) -> None:
    (root / "console.log").unlink(missing_ok=True)
    (root / "evaluation.jsonl").unlink()
    (root / "evaluation.jsonl").symlink_to("x" * 300)  # a name too long for a lookup


def huge(root: Path) -> None:
    (root / "experiment.yaml").write_text(f"run: {{seed: 1{'0' * 400}}}\nalgo: {{x: 1{'0' * 400}}}")


def list_of_seeds(root: Path) -> None:
    (root / "experiment.yaml").write_text("run: {seed: [1, 2]}")


def no_counts(root: Path) -> None:
    (root / "evaluation.jsonl").write_text('{"policy": "dreamerv3", "env_steps": 100, "success_rate": 0.5, '
                                           '"outcome_counts": null}\n')  # fmt: skip


def impossible_pid(root: Path) -> None:
    status = {"state": "running", "pid": -1, "host": socket.gethostname()}
    (root / "status.json").write_text(json.dumps(status))


@pytest.mark.parametrize("damage", [deep, unreadable_name, huge, list_of_seeds, no_counts, impossible_pid])
def test_odd_run_directory_does_not_stop_the_comparison(
    sweep: Path, tmp_path: Path, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(write_run(sweep / "10_odd", config(7)))
    compare.run([str(sweep), "--out", str(tmp_path / "out")])
    assert " beats " in capsys.readouterr().out
    assert "10_odd" in [run["run"] for run in json.loads((tmp_path / "out" / "compare.json").read_text())["runs"]]


ESCAPES = "\x1b]0;title\x07\x1b[2J"
FORMULA = "=HYPERLINK(0)"


def write_archives(folder: Path) -> Path:
    """Write a folder of runs as a stranger may have made them, each with something that costs a careless reader."""
    status = {
        "blank": {"state": ""},
        "escapes": {"state": "failed", "error": {"type": ESCAPES, "message": ESCAPES}},
        "formula": {"state": "failed", "error": {"type": FORMULA, "message": "@A1"}},
    }
    keys = {"formula": {"gamma": FORMULA}, "mathtext": {"gamma": "$\\frac{$"}, "long": {"gamma": "x" * 900_000}}
    for name in (*status, "mathtext", "long", f"{FORMULA}{ESCAPES}", "pipe", "deep", "numbers", "plain"):
        tree = config(1, derived=name, **keys.get(name, {}))
        write_run(folder / name, tree, status=status.get(name))
    (folder / "pipe" / "result.jsonl").unlink()
    os.mkfifo(folder / "pipe" / "result.jsonl")
    (folder / "deep" / "experiment.yaml").write_text("a: " + "[" * 500_000)
    deep = "[" * 900 + "]" * 900
    (folder / "deep" / "provenance.json").write_text(f'{{"gpu_names": {deep}}}')
    huge = {"env_steps": 100, "episode_return_window": 1e308, "time/total_s": -1e308}
    (folder / "numbers" / "result.jsonl").write_text(f"{json.dumps(huge)}\n" * 3)
    return folder


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of a comparison of such runs; `printed` in it holds the printed text."""
    folder = tmp_path_factory.mktemp("archives")
    with redirect_stdout(io.StringIO()) as text:
        compare.run([str(write_archives(folder / "runs")), "--out", str(folder / "out")])
    (folder / "out" / "printed").write_text(text.getvalue())
    return folder / "out"


def test_no_archive_of_a_stranger_costs_another_run(archives: Path) -> None:
    tree = json.loads((archives / "compare.json").read_text())
    assert len(tree["runs"]) == 10
    assert {*FILES} <= {path.name for path in archives.iterdir()}
    assert ("plain", 0.5) in [(run["run"], run["final"]) for run in tree["runs"]]


def test_terminal_escapes_of_files_and_names_are_shown_not_sent(archives: Path) -> None:
    text = (archives / "printed").read_text()
    assert not {"\x1b", "\x07"} & set(text)
    assert r"\x1b]0;title\x07" in text


def test_no_cell_of_a_csv_file_is_a_formula(archives: Path) -> None:
    for name in ("compare.csv", "compare_runs.csv"):
        with open(archives / name, newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert [cell for cell in cells if cell.startswith(("=", "+", "@"))] == []
        assert any(cell.startswith("'=HYPERLINK") for cell in cells)


def test_a_long_value_is_shortened_in_every_line(archives: Path) -> None:
    assert max(map(len, (archives / "printed").read_text().splitlines())) < 1000
    assert len((archives / "compare_runs.csv").read_text()) < 100_000


def test_folder_whose_name_is_not_utf_8_is_compared(sweep: Path) -> None:
    odd = os.fsdecode(os.fsencode(sweep.parent) + b"/sw\xffeep")
    sweep.rename(odd)
    words = [sys.executable, "-m", "dreamer_exp.compare", odd, odd + "/no\udcff"]
    done = subprocess.run(words, capture_output=True, check=False, cwd=sweep.parent)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"no\xff" in b"".join(done.stdout.split())
    (page,) = sweep.parent.rglob("compare.html")
    assert r"sw\xffeep" in page.read_text()
    assert "sw%FFeep" in page.read_text()


def test_command_imports_neither_ray_nor_torch_nor_pandas(sweep: Path, tmp_path: Path) -> None:
    heavy = ("ray", "torch", "pandas", "scipy", "wandb", "hydra", "gymnasium")
    code = (
        "import sys; from dreamer_exp.cli.compare import run; run(sys.argv[1:]); "
        f"print('imported:', [name for name in {heavy} if name in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(sweep), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "imported: []"
