"""The commit of a run, and its uncommitted changes."""

import subprocess
from pathlib import Path

import pytest

from dreamer_exp.rundir.provenance import MAX_PATCH_BYTES, git_state, save_uncommitted_changes


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    return subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package in a checkout with one commit."""
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "__init__.py").write_text("a = 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return folder


def test_a_clean_checkout_has_a_commit_and_no_changes(package: Path, tmp_path: Path) -> None:
    state = git_state(package)
    assert state == {"commit": git(tmp_path, "rev-parse", "HEAD").strip(), "dirty": False, "diff_sha256": None}


def test_uncommitted_changes_are_saved_as_a_patch_that_applies(package: Path, tmp_path: Path) -> None:
    (package / "__init__.py").write_text("a = 2\n")
    patch = tmp_path / "uncommitted.patch"
    save_uncommitted_changes(patch, package)
    git(tmp_path, "checkout", "-q", "--", "package")
    git(tmp_path, "apply", str(patch))
    assert (package / "__init__.py").read_text() == "a = 2\n"


@pytest.mark.parametrize("text", ["a = 1\n", "a" * (MAX_PATCH_BYTES + 1)], ids=["nothing", "too much"])
def test_no_patch_is_saved_without_changes_or_with_too_many(package: Path, tmp_path: Path, text: str) -> None:
    (package / "__init__.py").write_text(text)
    save_uncommitted_changes(tmp_path / "uncommitted.patch", package)
    assert not (tmp_path / "uncommitted.patch").exists()


def test_an_untracked_package_in_a_checkout_has_no_commit(package: Path, tmp_path: Path) -> None:
    installed = tmp_path / "site" / "other"
    installed.mkdir(parents=True)
    (installed / "__init__.py").write_text("")
    assert git_state(installed) is None
