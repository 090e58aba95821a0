"""The command doctor."""

import pytest

from dreamer_exp.cli import doctor
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.robot_sf import package
from tests import programs


def test_doctor_prints_a_table_and_exits_with_code_0() -> None:
    ended = programs.run(module="dreamer_exp.doctor")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(word in ended.stdout for word in ("Python", "torch", "CPUs", "memory", "robot_sf"))


def test_without_robot_sf_it_prints_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "folder", lambda: None)
    monkeypatch.setattr(package, "load", package.load.__wrapped__)
    rows, advice = doctor.diagnose()

    assert rows["env=robot_sf"].startswith("not installed")
    assert len(advice) == 1
    assert "pip install --no-deps" in advice[0]


def test_another_commit_than_the_tested_one_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "load", lambda: None)
    monkeypatch.setattr(package, "commit", lambda: "0123abcd")
    rows, advice = doctor.diagnose()

    assert "commit 0123abcd" in rows["env=robot_sf"]
    assert package.COMMIT in advice[0]


def test_a_machine_that_cannot_be_read_is_reported_with_the_other_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe() -> None:
        raise UserError("SLURM_CPUS_PER_TASK='x': must be a whole number")

    monkeypatch.setattr(doctor, "probe", probe)
    rows, advice = doctor.diagnose()

    assert "see below" in rows["machine"]
    assert advice[0].startswith("SLURM_CPUS_PER_TASK")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))
    assert doctor.diagnose()[0]["packages"] == "no-such-package missing"
