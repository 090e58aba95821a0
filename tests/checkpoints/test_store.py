"""Checkpoints on the disk: manifests, their formats, and which checkpoint is chosen."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.checkpoints.manifest import MANIFEST, BrokenCheckpoint, manifest, read_manifest, resolve, verify
from dreamer_exp.checkpoints.store import CheckpointStore
from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.formats import current_format

ABOUT = {"iteration": 2, "env_steps": 64, "updates": 4, "contract_hash": "0123"}


def make_checkpoint(store: CheckpointStore, env_steps: int, **changes: Any) -> Path:
    """Write a checkpoint without an algorithm; `changes` go into its manifest."""
    folder = store.root / f"{env_steps:09d}"
    (folder / "replay").mkdir(parents=True)
    for name in ("policy.json", "policy.safetensors", "replay/reward.npy"):
        (folder / name).write_text(f"{name} {env_steps}")
    write_json(folder / MANIFEST, {**manifest(folder, ABOUT), **changes})
    return folder


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints", keep=3)


def test_a_manifest_lists_every_file_with_its_sum(store: CheckpointStore) -> None:
    tree = verify(make_checkpoint(store, 64))
    assert (tree["format"], tree["env_steps"]) == (current_format(MANIFEST), 64)
    assert set(tree["files"]) == {"policy.json", "policy.safetensors", "replay/reward.npy"}


@pytest.mark.parametrize("name", ["policy.json", "replay/reward.npy"])
def test_a_changed_or_missing_file_breaks_a_checkpoint(store: CheckpointStore, name: str) -> None:
    checkpoint = make_checkpoint(store, 64)
    (checkpoint / name).write_text("changed")
    with pytest.raises(BrokenCheckpoint, match=rf"{name}: missing, or different from manifest\.json"):
        verify(checkpoint)
    (checkpoint / name).unlink()
    with pytest.raises(BrokenCheckpoint, match=name):
        verify(checkpoint)


def test_an_additional_file_breaks_a_checkpoint(store: CheckpointStore) -> None:
    checkpoint = make_checkpoint(store, 64)
    (checkpoint / "rllib.pkl").touch()
    with pytest.raises(BrokenCheckpoint, match=r"rllib\.pkl: not in manifest\.json"):
        verify(checkpoint)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 3, "env_steps": 64, "contract_hash": "0123"}'])
def test_an_incomplete_manifest_breaks_a_checkpoint(store: CheckpointStore, content: str) -> None:
    checkpoint = make_checkpoint(store, 64)
    (checkpoint / MANIFEST).write_text(content)
    with pytest.raises(BrokenCheckpoint, match=r"manifest\.json: "):
        read_manifest(checkpoint)


def test_the_format_of_release_0_1_is_read(store: CheckpointStore) -> None:
    checkpoint = make_checkpoint(store, 64, format=2)
    assert resolve(checkpoint) == checkpoint
    assert store.newest_valid() == checkpoint


@pytest.mark.parametrize("version", [1, 4, "3", None])
def test_an_unknown_format_is_refused_in_one_line_and_passed_over(
    store: CheckpointStore, version: object, caplog: pytest.LogCaptureFixture
) -> None:
    older = make_checkpoint(store, 32)
    checkpoint = make_checkpoint(store, 64, format=version)
    line = f"format={version!r} is unknown, allowed: 2, 3; update dreamer-exp"
    with pytest.raises(UserError) as caught:
        resolve(checkpoint)
    assert str(caught.value) == f"{checkpoint / MANIFEST}: {line}; name another checkpoint."
    assert store.newest_valid() == older
    assert line in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"files": ["policy.json"]},
        {"files": None},
        {"files": {"policy.json": "0123"}},
        {"files": {"policy.json": {}}},
        {"files": {"policy.json": {"sha256": 3, "bytes": 4}}},
        {"updates": "4"},
        {"updates": -1},
        {"updates": None},
        {"contract_hash": 7},
    ],
)
def test_a_manifest_of_another_form_is_passed_over(store: CheckpointStore, changes: dict[str, Any]) -> None:
    older = make_checkpoint(store, 32)
    newer = make_checkpoint(store, 64, **changes)
    assert store.newest_valid() == older
    with pytest.raises(UserError, match="name another checkpoint"):
        resolve(newer)


@pytest.mark.parametrize("name", ["../000000032/policy.json", "/etc/hostname", "a/../../b", "a\0b", "", "./a"])
def test_manifest_with_a_name_outside_of_the_checkpoint_is_refused(store: CheckpointStore, name: str) -> None:
    older = make_checkpoint(store, 32)
    newer = make_checkpoint(store, 64)
    tree = read_manifest(newer)
    write_json(newer / MANIFEST, {**tree, "files": {**tree["files"], name: tree["files"]["policy.json"]}})
    with pytest.raises(UserError, match=r"manifest\.json: names .*, outside of the checkpoint"):
        resolve(newer)
    assert store.newest_valid() == older


def test_name_that_no_file_has_is_missing(store: CheckpointStore) -> None:
    newer = make_checkpoint(store, 64)
    tree = read_manifest(newer)
    write_json(newer / MANIFEST, {**tree, "files": {**tree["files"], "x" * 5000: tree["files"]["policy.json"]}})
    with pytest.raises(BrokenCheckpoint, match="missing, or different"):
        verify(newer)


def test_checkpoint_without_its_manifest_is_named(store: CheckpointStore) -> None:
    (make_checkpoint(store, 64) / MANIFEST).unlink()
    (store.root / "latest").write_text("000000064")
    with pytest.raises(UserError, match=r"000000064/manifest\.json: missing; name another checkpoint"):
        resolve(store.root.parent)


def link_file(checkpoint: Path) -> None:
    (checkpoint / "policy.json").rename(checkpoint.parents[1] / "policy.json")
    (checkpoint / "policy.json").symlink_to(checkpoint.parents[1] / "policy.json")


def link_folder(checkpoint: Path) -> None:
    (checkpoint / "replay").rename(checkpoint.parents[1] / "replay")
    (checkpoint / "replay").symlink_to(checkpoint.parents[1] / "replay")


def link_checkpoint(checkpoint: Path) -> None:
    checkpoint.rename(checkpoint.parents[1] / "moved")
    checkpoint.symlink_to(checkpoint.parents[1] / "moved")


def add_pipe(checkpoint: Path) -> None:
    os.mkfifo(checkpoint / "pipe")


@pytest.mark.parametrize("change", [link_file, link_folder, link_checkpoint, add_pipe])
def test_a_checkpoint_with_a_link_or_a_pipe_is_passed_over(
    store: CheckpointStore, change: Callable[[Path], None]
) -> None:
    older = make_checkpoint(store, 32)
    change(make_checkpoint(store, 64))
    assert store.newest_valid() == older


@pytest.mark.parametrize(
    "content", [b"../../../etc", b"/etc", b"..", b".", b"", b"missing", b"a\0b", b"\xff\xfe", b"0" * 5000]
)
@pytest.mark.parametrize("pointer", ["latest", "best"])
def test_a_pointer_names_a_checkpoint_next_to_it_or_is_refused(
    store: CheckpointStore, pointer: str, content: bytes
) -> None:
    make_checkpoint(store, 64)
    (store.root / pointer).write_bytes(content)
    with pytest.raises(UserError, match=pointer) as caught:
        resolve(store.root.parent)
    assert len(str(caught.value).splitlines()) == 1


def test_a_pointer_that_is_a_link_is_refused(store: CheckpointStore) -> None:
    make_checkpoint(store, 64)
    (store.root / "elsewhere").write_text("000000064")
    (store.root / "latest").symlink_to(store.root / "elsewhere")
    with pytest.raises(UserError, match="latest: is a symbolic link"):
        resolve(store.root.parent)


def test_checkpoints_are_ordered_by_their_steps(store: CheckpointStore) -> None:
    for steps in (10**9, 999_999_999, 64):
        make_checkpoint(store, steps)
    (store.root / "zzz").mkdir()
    assert [int(path.name) for path in store.all()] == [64, 999_999_999, 10**9]


def test_the_newest_valid_checkpoint_is_found_and_broken_ones_are_logged(
    store: CheckpointStore, caplog: pytest.LogCaptureFixture
) -> None:
    older, newer = make_checkpoint(store, 32), make_checkpoint(store, 64)
    (newer / "policy.json").unlink()
    with caplog.at_level(logging.WARNING):
        assert store.newest_valid() == older
    assert "checkpoint 000000064 skipped: " in caplog.text


def test_a_run_resolves_to_its_best_else_its_latest_checkpoint(store: CheckpointStore) -> None:
    latest, best = make_checkpoint(store, 64), make_checkpoint(store, 32)
    (store.root / "latest").write_text("000000064\n")
    assert resolve(store.root.parent) == latest
    store.mark_best(best)
    assert resolve(store.root.parent) == best


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run's directory with a checkpoint nor a checkpoint"):
        resolve(tmp_path)


def test_only_the_policy_has_to_be_valid_for_an_evaluation(store: CheckpointStore) -> None:
    checkpoint = make_checkpoint(store, 64)
    (checkpoint / "replay" / "reward.npy").unlink()
    assert resolve(checkpoint) == checkpoint
    (checkpoint / "policy.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"policy\.json: missing, or different from manifest\.json; name another"):
        resolve(checkpoint)
