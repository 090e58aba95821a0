"""`dreamer-exp runs sync`: the real `wandb sync` uploads over HTTP to a local stand-in for W&B (wandb_server.py)."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wandb

from dreamer_exp.rundir.atomic import append_row, write_json
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.rundir.wandb_folders import FAILURES
from dreamer_exp.tracking.wandb.sync_folder import RETRIES, sync_folder
from dreamer_exp.tracking.wandb.tracker import WandbTracker
from tests.experiments import nano
from tests.paths import CHECKOUT
from tests.tracking.wandb.offline_file import cut_within_row
from tests.tracking.wandb.wandb_server import KEY, WandbServer, serving

STATUS = {"started_utc": "2026-01-01T00:00:00+00:00", "env_steps": 64, "pid": 1, "host": "elsewhere", "error": None}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of 30 rows that was interrupted after 20 and resumed from a checkpoint at 10."""
    root = tmp_path_factory.mktemp("outputs") / "run"
    for hour, (first, last) in enumerate(((1, 20), (11, 30))):
        track(root, first, last)
        (folder,) = set(folders(root)) - set(root.glob("wandb/*-part"))
        folder.rename(folder.with_name(f"offline-run-20260101_0{hour}0000-part"))
    rows = [{"iteration": i, "env_steps": 16 * i} for i in range(1, 31)]
    for row in rows:
        append_row(RunDirectory(root).result, row)
    write_json(RunDirectory(root).status, {**STATUS, "state": "finished"})
    return root


def track(root: Path, first: int, last: int) -> None:
    root.mkdir(exist_ok=True)
    tracker = WandbTracker(nano("tracking=wandb_offline"), root)
    for i in range(first, last + 1):
        tracker.log(
            {"iteration": i, "env_steps": 16 * i, "loss/world_model": 1 / i, "episode_return_mean": None}, 16 * i
        )
    tracker.log({"evaluation/dreamerv3/success_rate": 0.5}, 16 * last)
    tracker.finish({"state": "finished"}, failed=False)
    wandb.teardown()  # waits for the process that writes the end of the file after finish()


@pytest.fixture
def run(tracked: Path, tmp_path: Path) -> Path:
    """Return a copy of that run, unsynced."""
    return Path(shutil.copytree(tracked, tmp_path / "outputs" / "run", symlinks=True))


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with serving() as server:
        yield server


def sync(run: Path, url: str, key: str | None = KEY) -> subprocess.CompletedProcess[str]:
    """Run `dreamer_exp.runs sync` in the folder above outputs/, as a user without W&B settings."""
    home = run.parents[1] / "home"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    return subprocess.run(
        [sys.executable, "-m", "dreamer_exp.runs", "sync"],
        cwd=run.parents[1],
        env={
            **environment,
            "PYTHONPATH": str(CHECKOUT),
            "HOME": str(home), "XDG_CACHE_HOME": str(home), "NETRC": str(home / "netrc"),
            "WANDB_CONFIG_DIR": str(home), "WANDB_BASE_URL": url, **({"WANDB_API_KEY": key} if key else {}),
            **dict.fromkeys(RETRIES, "1"),  # 0 is wandb's default number
        },
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def folders(run: Path) -> list[Path]:
    return sorted(run.glob("wandb/offline-run-*"))


def marked(run: Path) -> list[bool]:
    return [any(folder.glob("*.synced")) for folder in folders(run)]


def failures(run: Path) -> dict[str, str]:
    file = run / "wandb" / FAILURES
    return json.loads(file.read_text()) if file.exists() else {}


def keep_resumed_part(run: Path) -> None:
    """Remove the folder of the first part: one upload instead of two."""
    shutil.rmtree(folders(run)[0])


def no_listener() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_every_row_of_a_resumed_run_is_uploaded_with_config_and_files(run: Path, server: WandbServer) -> None:
    done = sync(run, server.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Runs synced: 1 of 1" in done.stdout
    received = [row["iteration"] for row in server.rows() if "iteration" in row]
    assert received == [*range(1, 21), *range(11, 31)]
    assert set(received) == {row["iteration"] for row in read_rows(RunDirectory(run).result)}
    assert [row["evaluation/dreamerv3/success_rate"] for row in server.rows() if "iteration" not in row] == [0.5, 0.5]
    assert len(server.ended) == 2
    assert set(server.ended.values()) == {0}
    for name in server.ended:
        assert server.configs[name]["algo"]["value"]["horizon_H"] == 3
        assert server.files[name] >= {"config.yaml", "wandb-summary.json"}


def test_a_synced_folder_is_not_uploaded_again(run: Path, server: WandbServer) -> None:
    keep_resumed_part(run)
    sync(run, server.url)
    before = list(server.calls)
    again = sync(run, server.url)
    assert before
    assert server.calls == before
    assert (again.returncode, again.stdout) == (0, "Nothing to sync\n")


@pytest.mark.parametrize(
    ("refused", "status", "message"),
    [
        pytest.param("UpsertBucket", 400, "over quota", id="the run"),
        pytest.param("file_stream", 500, "HTTP 500", id="its rows", marks=pytest.mark.slow),
        pytest.param("PUT", 403, "403", id="its files", marks=pytest.mark.slow),
    ],
)
def test_a_refused_upload_is_recorded_as_failed_and_retried_at_the_next_sync(
    run: Path, server: WandbServer, refused: str, status: int, message: str
) -> None:
    keep_resumed_part(run)
    server.refused, server.status, server.words = refused, status, "over quota"
    failed = sync(run, server.url)
    assert failed.returncode == 1
    assert "Failed, to be retried at the next sync: outputs/run" in failed.stdout
    assert marked(run) == [False]
    (error,) = failures(run).values()
    assert message in error
    assert error in failed.stdout
    server.refused = ""
    assert sync(run, server.url).returncode == 0
    assert len({row["iteration"] for row in server.rows() if "iteration" in row}) == 20
    assert (marked(run), failures(run)) == ([True], {})


def test_an_unreachable_server_is_tried_once_and_reported_in_one_line(run: Path) -> None:
    done = sync(run, no_listener())
    assert done.returncode == 1
    assert "outputs/run: W&B's server doesn't answer (dial tcp" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(failures(run)) == [folders(run)[0].name]
    assert marked(run) == [False, False]


@pytest.mark.parametrize("key", [None, "tooshort", KEY.replace("0", "9")], ids=["none", "too short", "a wrong one"])
def test_a_missing_login_is_reported_in_one_line(run: Path, server: WandbServer, key: str | None) -> None:
    done = sync(run, server.url, key)
    assert done.returncode == 2
    assert "wandb login" in done.stderr
    assert "WANDB_API_KEY" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert failures(run) == {}


def test_a_key_in_an_error_message_is_neither_printed_nor_recorded(run: Path, server: WandbServer) -> None:
    keep_resumed_part(run)
    server.refused, server.status, server.words = "UpsertBucket", 400, f"no project for {KEY}"
    done = sync(run, server.url)
    assert "no project for ***" in done.stdout
    assert KEY not in done.stdout + done.stderr
    assert [path for path in run.parents[1].rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


def test_a_silent_server_costs_no_more_than_the_timeout(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert sync_folder(folders(run)[0], timeout_s=2.0).error == "not finished after 2 s"
    assert marked(run) == [False, False]


def test_a_running_run_is_left_for_later(run: Path, server: WandbServer) -> None:
    write_json(RunDirectory(run).status, {**STATUS, "state": "running"})
    done = sync(run, server.url)
    assert done.returncode == 0
    assert "Still running, left for later: outputs/run" in done.stdout
    assert server.calls == []


def test_the_file_of_a_killed_run_is_uploaded_up_to_its_incomplete_record(run: Path, server: WandbServer) -> None:
    keep_resumed_part(run)
    (file,) = folders(run)[0].glob("*.wandb")
    cut_within_row(file, 12)
    done = sync(run, server.url)
    assert done.returncode == 0
    assert "except the last record, which was cut off" in done.stdout
    assert [row["iteration"] for row in server.rows() if "iteration" in row] == list(range(11, 23))
    assert marked(run) == [True]


def test_a_failed_run_does_not_stop_the_others(run: Path, server: WandbServer) -> None:
    keep_resumed_part(run)
    other = Path(shutil.copytree(run, run.parent / "other", symlinks=True))
    (file,) = folders(other)[0].glob("*.wandb")
    with open(file, "r+b") as broken:
        broken.seek(2000)
        broken.write(b"garbage" * 10)
    done = sync(run, server.url)
    assert done.returncode == 1
    assert "Runs synced: 1 of 2" in done.stdout
    assert "Failed, to be retried at the next sync: outputs/other" in done.stdout
    assert (marked(run), marked(other)) == ([True], [False])
