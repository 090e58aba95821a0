"""The reader of .wandb files, on one that wandb wrote."""

import os
from pathlib import Path

import pytest
import wandb

from dreamer_exp.tracking.tracker import WandbTracker
from dreamer_exp.tracking.wandb.binary_file import BLOCK, history, records
from tests.experiments import nano

ROWS = 400


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of several blocks."""
    root = tmp_path_factory.mktemp("run")
    tracker = WandbTracker(nano("tracking=wandb_offline"), root)
    for i in range(ROWS):
        tracker.log({"iteration": i, "loss/world_model": 0.5}, 16 * i)
    tracker.finish({"state": "finished"}, failed=False)
    wandb.teardown()  # waits for W&B's own process, which finish() leaves with the end of the file in hand
    (file,) = root.glob("wandb/offline-run-*/*.wandb")
    return file.read_bytes()


@pytest.fixture
def file(written: bytes, tmp_path: Path) -> Path:
    assert len(written) > 2 * BLOCK
    (tmp_path / "run.wandb").write_bytes(written)
    return tmp_path / "run.wandb"


def test_every_row_is_read_across_the_blocks_borders(file: Path) -> None:
    rows = history(file)
    assert [int(row["iteration"]) for row in rows] == list(range(ROWS))
    assert {row["loss/world_model"] for row in rows} == {"0.5"}


@pytest.mark.parametrize("length", [8, BLOCK - 2, BLOCK + 3, BLOCK + 1000])
def test_a_file_cut_off_anywhere_is_read_up_to_there(file: Path, length: int) -> None:
    whole = [record.num for record in records(file)]
    os.truncate(file, length)
    read = [record.num for record in records(file)]
    assert read == whole[: len(read)]
    assert len(read) < len(whole)


@pytest.mark.parametrize(
    ("place", "told"), [(0, "is no W&B file"), (2000, "rror parsing message")], ids=["its head", "a record"]
)
def test_what_is_no_such_file_is_a_value_error(file: Path, place: int, told: str) -> None:
    with open(file, "r+b") as broken:
        broken.seek(place)
        broken.write(b"\xff" * 300)
    with pytest.raises(ValueError, match=told):
        history(file)
