"""`run.init_from`: which weights a run begins with, what is refused by name, and that they arrive everywhere."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ray.rllib.core import DEFAULT_MODULE_ID
from safetensors.numpy import load_file

from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.algorithms.spec import spec_of
from dreamer_exp.checkpoints import policy_source
from dreamer_exp.checkpoints.initial import InitialWeights, find_initial_weights
from dreamer_exp.checkpoints.pack import pack
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS
from dreamer_exp.checkpoints.policy_file import build, describe
from dreamer_exp.checkpoints.policy_source import find_policy
from dreamer_exp.checkpoints.resume.prepare import refuse_other_weights
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.envs.make import contract_of
from dreamer_exp.rundir.atomic import write_json
from dreamer_exp.rundir.reader import read_tree
from tests import programs
from tests.checkpoints.policies import keep_acting_parts, saved_run, seal
from tests.experiments import NANO, nano, nano_gym
from tests.paths import CHECKOUT

each_algorithm = pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])


def found(experiment: Experiment) -> InitialWeights:
    initial = find_initial_weights(experiment, contract_of(experiment.env, experiment.obs_contract))
    assert initial is not None
    return initial


def refusal(experiment: Experiment) -> str:
    with pytest.raises(UserError) as refused:
        found(experiment)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """Return the directory of a run of algo=dreamerv3 in crowd_nav."""
    saved_run(tmp_path / "trained", nano())
    return tmp_path / "trained"


def pack_run(folder: Path, monkeypatch: pytest.MonkeyPatch, experiment: Experiment) -> None:
    """Pack the policy of a run as `pretrained:small`."""
    saved_run(folder / "run", experiment)
    monkeypatch.setattr(policy_source, "PRETRAINED", folder / "pretrained")
    pack(find_policy(str(folder / "run")), folder / "pretrained" / "small", "", [], acting_only=True)


# What fits


def test_without_init_from_there_are_no_initial_weights() -> None:
    experiment = nano()

    assert find_initial_weights(experiment, contract_of(experiment.env, experiment.obs_contract)) is None


@each_algorithm
def test_scope_all_takes_every_weight_of_a_complete_checkpoint(algo: str, tmp_path: Path) -> None:
    checkpoint = saved_run(tmp_path, nano(f"algo={algo}", "algo.model_size=nano"))

    initial = found(nano(f"algo={algo}", "algo.model_size=nano", f"run.init_from={tmp_path}"))

    assert (initial.missing, initial.other) == ((), ())
    assert initial.read().keys() == load_file(checkpoint / TENSORS).keys()


def test_scope_world_model_leaves_actor_and_critic_random(trained: Path) -> None:
    initial = found(nano(f"run.init_from={trained}", "run.init_scope=world_model"))

    assert {name.split(".")[1] for name in initial.read()} == {"encoder", "rssm", "decoder", "reward", "cont"}
    assert "random: actor, critic, slow_critic (run.init_scope=world_model)" in str(initial)


def test_scope_encoder_fits_another_recurrent_size(trained: Path) -> None:
    initial = found(nano(f"run.init_from={trained}", "run.init_scope=encoder", "algo.network.deter=128"))

    assert {name.split(".")[1] for name in initial.read()} == {"encoder"}


def test_parts_that_the_file_lacks_are_named_in_a_warning(trained: Path) -> None:
    keep_acting_parts(trained / "checkpoints" / "000000512")

    initial = found(nano(f"run.init_from={trained}"))

    assert initial.missing == tuple(f"agent.{part}" for part in ("decoder", "reward", "cont", "critic", "slow_critic"))
    (warning,) = initial.warnings()
    assert "no weights of decoder, reward, cont, critic, slow_critic" in warning


def test_another_action_repeat_is_named_in_a_warning(trained: Path) -> None:
    assert found(nano(f"run.init_from={trained}")).warnings() == []

    (warning,) = found(nano(f"run.init_from={trained}", "env.action_repeat=2")).warnings()

    assert warning == "env.action_repeat=2: the policy of run.init_from was trained with 1."


def test_float16_weights_are_read_as_float32(trained: Path) -> None:
    complete = load_file(trained / "checkpoints" / "000000512" / TENSORS)
    keep_acting_parts(trained / "checkpoints" / "000000512")

    read = found(nano(f"run.init_from={trained}")).read()

    assert {array.dtype for array in read.values()} == {np.dtype(np.float32)}
    for name, array in read.items():
        np.testing.assert_allclose(array, complete[name], rtol=1e-3, atol=1e-6)


def test_record_names_source_parts_and_hashes(trained: Path) -> None:
    initial = found(nano(f"run.init_from={trained}", "run.init_scope=encoder"))

    record = initial.record()

    assert (record["from"], record["scope"], record["taken"]) == (str(trained), "encoder", ["agent.encoder"])
    assert record["sha256"] == initial.source.hashes
    assert (record["env_steps"], record["updates"]) == (512, 8)


def test_finding_the_weights_imports_neither_ray_nor_torch(trained: Path) -> None:
    code = (
        "import sys\n"
        "from dreamer_exp.checkpoints.initial import find_initial_weights\n"
        "from dreamer_exp.envs.make import contract_of\n"
        "from tests.experiments import nano\n"
        f"experiment = nano({f'run.init_from={trained}'!r})\n"
        "find_initial_weights(experiment, contract_of(experiment.env, experiment.obs_contract))\n"
        "print({'ray', 'torch'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "set()\n"


# What is refused


def test_every_size_that_differs_is_named(trained: Path) -> None:
    message = refusal(nano(f"run.init_from={trained}", "algo.network.deter=128", "algo.network.actor_layers=2"))

    assert "network.deter is 64 there and 128 here" in message
    assert "network.actor_layers is 1 there and 2 here" in message


def test_every_observation_entry_that_differs_is_named(trained: Path) -> None:
    message = refusal(nano(f"run.init_from={trained}", "obs_contract.frames=latest"))

    assert "rays.shape is [3, 272] there and [272] here" in message
    assert "frames is all there and latest here" in message
    assert "action" not in message


def test_a_contract_that_only_a_hash_describes_is_refused(trained: Path) -> None:
    (trained / "provenance.json").unlink()

    assert "contract of observations and actions is" in refusal(
        nano(f"run.init_from={trained}", "obs_contract.scaling=metric", "algo.symlog_obs=true")
    )


def test_an_encoder_fits_other_actions_and_a_world_model_does_not(tmp_path: Path) -> None:
    saved_run(tmp_path, nano_gym("MountainCar-v0"))  # 3 actions
    words = ("MountainCarContinuous-v0", f"run.init_from={tmp_path}")

    assert found(nano_gym(*words, "run.init_scope=encoder")).taken == ("agent.encoder",)
    assert "action.kind is discrete there and box here" in refusal(nano_gym(*words, "run.init_scope=world_model"))


def test_what_differs_from_a_packed_policy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_run(tmp_path, monkeypatch, nano())

    message = refusal(nano("run.init_from='pretrained:small'", "obs_contract.frames=latest"))

    assert "rays.shape is [3, 272] there and [272] here" in message


def test_a_packed_encoder_fits_other_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack_run(tmp_path, monkeypatch, nano_gym("MountainCar-v0"))
    words = ("MountainCarContinuous-v0", "run.init_from='pretrained:small'", "run.init_scope=encoder")

    assert found(nano_gym(*words)).taken == ("agent.encoder",)


def test_the_action_repeat_comes_from_the_policys_own_file(trained: Path) -> None:
    checkpoint = trained / "checkpoints" / "000000512"
    description = read_tree(checkpoint / DESCRIPTION)
    description["extra"]["environment"] = {"name": "crowd_nav", "action_repeat": 3}
    write_json(checkpoint / DESCRIPTION, description)
    seal(checkpoint, description["extra"])

    (warning,) = found(nano(f"run.init_from={trained}")).warnings()

    assert warning == "env.action_repeat=1: the policy of run.init_from was trained with 3."


def test_weights_of_another_algorithm_are_refused(trained: Path) -> None:
    message = refusal(nano("algo=dreamerv3_rllib", "algo.model_size=nano", f"run.init_from={trained}"))

    assert "algo=dreamerv3, whose weights have other names than those of algo=dreamerv3_rllib" in message


def test_files_that_do_not_fit_each_other_are_refused_when_read(trained: Path, tmp_path: Path) -> None:
    other = saved_run(tmp_path / "other", nano("algo.network.deter=128"))
    checkpoint = trained / "checkpoints" / "000000512"
    (checkpoint / TENSORS).write_bytes((other / TENSORS).read_bytes())

    assert "different from manifest.json" in refusal(nano(f"run.init_from={trained}"))


def test_a_directory_without_a_checkpoint_is_refused_with_the_key(tmp_path: Path) -> None:
    assert refusal(nano(f"run.init_from={tmp_path}")).startswith(
        f"run.init_from: {tmp_path}: neither a run's directory"
    )


def test_an_unknown_pretrained_policy_is_refused() -> None:
    assert "pretrained:nobody: no such pretrained policy" in refusal(nano("run.init_from='pretrained:nobody'"))


# The description of a network, and its weights in an algorithm


@each_algorithm
def test_network_of_the_options_is_the_one_that_the_policy_describes(algo: str) -> None:
    experiment = nano(f"algo={algo}", "algo.model_size=nano")
    network = spec_of(experiment.algo).network(experiment.algo)
    tree = {"algorithm": algo, **network, "observation_size": 7, "action": {"kind": "box", "size": 3}}

    described = describe(build(tree), algo)

    assert {name: described[name] for name in network} == network


@each_algorithm
def test_parts_of_scope_all_contain_every_weight(algo: str) -> None:
    experiment = nano(f"algo={algo}", "algo.model_size=nano")
    spec = spec_of(experiment.algo)
    tree = {"algorithm": algo, **spec.network(experiment.algo), "observation_size": 7}
    module = build({**tree, "action": {"kind": "box", "size": 3}})

    prefixes = tuple(f"{part}." for part in spec.scopes["all"].parts)

    assert all(name.startswith(prefixes) for name, _ in module.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])
@pytest.mark.usefixtures("ray_local")
def test_weights_arrive_in_learner_and_env_runners_and_the_optimiser_stays_empty(
    algo: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    words = (f"algo={algo}", "algo.model_size=nano", "hardware.num_env_runners=1")
    saved_run(tmp_path, nano(*words), seed=3)
    experiment = nano(*words, f"run.init_from={tmp_path}")
    weights = found(experiment).read()
    algorithm: Any = build_algorithm(experiment)
    request.addfinalizer(algorithm.stop)

    algorithm.init_weights(weights)

    for own in (
        algorithm.on_learner(lambda learner: _weights(learner.module[DEFAULT_MODULE_ID].unwrapped())),
        _weights(algorithm.module_to_evaluate()),
        *algorithm.env_runner_group.foreach_env_runner(_runner_weights(), local_env_runner=False),
    ):
        assert own
        assert all(np.array_equal(own[name], weights[name]) for name in own)
    assert not any(algorithm.on_learner(lambda learner: [one.state for one in learner._named_optimizers.values()]))


# The command line


def command(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT), "COLUMNS": "300"}
    words = (*NANO, "tracking=none", "hardware.num_env_runners=0", *words)
    return programs.run(*words, cwd=directory, env=environment)


def test_dry_run_names_the_weights_and_takes_a_path_with_commas(trained: Path, tmp_path: Path) -> None:
    job = trained.rename(tmp_path / "0_seed=1,b=2")

    done = command(tmp_path, f"init_from={job}", "init_scope=encoder", "dry_run=true")

    assert done.returncode == 0, done.stderr
    assert "encoder of 0_seed=1,b=2, checkpoint 000000512; random: rssm, " in done.stdout


def test_a_policy_that_does_not_fit_exits_with_code_2_and_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()

    done = command(tmp_path / "here", f"init_from={trained}", "obs_contract.frames=latest")

    assert (done.returncode, len(done.stderr.splitlines()), list((tmp_path / "here").iterdir())) == (2, 1, [])


@pytest.mark.slow
def test_a_resumed_run_keeps_its_record_and_does_not_need_the_policy_again(trained: Path, tmp_path: Path) -> None:
    first = command(tmp_path, f"init_from={trained}", "hydra.run.dir=run", "run.train_iterations=1")
    assert first.returncode == 0, first.stderr
    record = read_tree(tmp_path / "run" / "provenance.json")["init"]
    shutil.rmtree(trained)

    second = command(tmp_path, "resume=run", "run.train_iterations=2")

    assert second.returncode == 0, second.stderr
    assert record["from"] == str(trained)
    assert read_tree(tmp_path / "run" / "provenance.json")["init"] == record


@pytest.mark.parametrize("key", ["run.init_from", "run.init_scope"])
def test_resume_refuses_other_initial_weights(key: str) -> None:
    with pytest.raises(UserError, match=f"{key}=encoder: a resumed run keeps the weights of its checkpoint"):
        refuse_other_weights({key: ("all", "encoder")})


def test_resume_accepts_a_run_that_was_written_without_the_key() -> None:
    refuse_other_weights({"run.init_scope": (None, "all")})


def _runner_weights() -> Callable[[Any], dict[str, Any]]:
    return lambda runner: {name: value.detach().numpy() for name, value in runner.module.named_parameters()}


def _weights(module: Any) -> dict[str, Any]:
    return {name: value.detach().numpy().copy() for name, value in module.named_parameters()}
