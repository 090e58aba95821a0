"""Reading of the policy that enters."""

import json
from pathlib import Path

import pytest

from dreamer_exp.benchmark import origin
from dreamer_exp.benchmark.origin import find_origin
from dreamer_exp.checkpoints.manifest import sha256
from dreamer_exp.config.errors import UserError
from dreamer_exp.policy.load import formats
from tests.policy.saved import save_random


def edit(folder: Path, **extra: object) -> None:
    """Change entries of policy.json's `extra`; None removes one."""
    path = folder / "policy.json"
    tree = json.loads(path.read_text())
    tree["extra"] = {name: value for name, value in {**tree["extra"], **extra}.items() if value is not None}
    path.write_text(json.dumps(tree))


def test_a_folder_with_the_two_files_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "My policy"
    save_random(folder)
    found = find_origin(folder)
    assert found.run is None
    assert found.entrant.folder == folder
    assert found.origin.model_id == "dreamer_exp_my_policy"
    assert found.origin.sha256 == sha256(folder / "policy.safetensors")
    assert (found.origin.environment, found.origin.commit) == ("crowd_nav", "unknown")


def test_the_action_repeat_is_that_of_the_file(tmp_path: Path) -> None:
    save_random(tmp_path, "dreamerv3", "env.action_repeat=3")
    assert find_origin(tmp_path).entrant.action_repeat == 3


def test_a_policy_without_a_contract_hash_is_refused(tmp_path: Path) -> None:
    save_random(tmp_path)
    edit(tmp_path, contract_hash=None, contract=None)
    with pytest.raises(UserError, match="contract_hash is missing, so its observation is unknown"):
        find_origin(tmp_path)


def test_a_policy_that_cannot_be_loaded_to_act_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_random(tmp_path)
    known = formats()
    del known["dreamerv3"]  # then it is like the algorithm of a plug-in
    monkeypatch.setattr(origin, "formats", lambda: known)
    with pytest.raises(UserError, match=r"is of algo=dreamerv3; it takes policies of dreamerv3_rllib, ppo, sac\."):
        find_origin(tmp_path)


def test_a_path_without_a_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run's directory with a checkpoint nor a checkpoint"):
        find_origin(tmp_path)
