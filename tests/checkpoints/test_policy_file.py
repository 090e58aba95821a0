"""A network as policy.safetensors and policy.json: the same network comes back, and nothing is run to read it."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.rl_module.rl_module import RLModule
from safetensors.torch import load_file, save_file

from dreamer_exp.algorithms.dreamerv3.sizes import SIZES
from dreamer_exp.algorithms.rllib.algorithm import BaseDreamerV3
from dreamer_exp.algorithms.rllib.build import build_algorithm
from dreamer_exp.checkpoints.policy_description import DESCRIPTION, TENSORS, read_description
from dreamer_exp.checkpoints.policy_file import build, load_policy, load_policy_maker, save_policy
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.plugins import find_spec
from dreamer_exp.evaluation.rollout import BatchPolicy, MakePolicy
from tests.experiments import nano

NETWORKS = {"dreamerv3": asdict(SIZES["nano"]), "dreamerv3_rllib": {"model_size": "nano", "batch_length_T": 8}}
EXTRA = {"contract_hash": "0123456789abcdef", "env_steps": 512, "updates": 8}
OBSERVATIONS = np.random.default_rng(0).normal(size=(6, 3, 7)).astype(np.float32)  # T=6 steps of N=3 environments

each_algorithm = pytest.mark.parametrize("algo", ["dreamerv3", "dreamerv3_rllib"])
each_action = pytest.mark.parametrize("kind", ["box", "discrete"])


def trained(algo: str, kind: str = "box", seed: int = 1) -> RLModule:
    """Return a network with random weights, as after training; also where they are initialised to zero."""
    action = {"kind": kind, "size": 3}
    module = build(
        {
            "algorithm": algo,
            "network": NETWORKS[algo],
            "observation_size": 7,
            "action": action,
            "symlog_obs": algo == "dreamerv3",
        }
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.nan_to_num_().add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return module


def policy_maker(algo: str, module: RLModule) -> MakePolicy:
    make: MakePolicy = find_spec("algorithms", algo).load().policy_maker(module)
    return make


def actions(make_policy: MakePolicy) -> np.ndarray:
    policy = begun(make_policy)
    return np.stack([policy.act(step) for step in OBSERVATIONS])


def begun(make_policy: MakePolicy) -> BatchPolicy:
    """Return the policy of three episodes."""
    policy = make_policy(3)
    for row in range(3):
        policy.begin(row, seed=5 + row)
    return policy


def edit(folder: Path, **changes: Any) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_policy(trained("dreamerv3"), "dreamerv3", tmp_path, EXTRA)
    return tmp_path


@each_algorithm
@each_action
def test_loaded_network_gives_the_same_actions(algo: str, kind: str, tmp_path: Path) -> None:
    module = trained(algo, kind)
    save_policy(module, algo, tmp_path, EXTRA)
    expected = actions(policy_maker(algo, module))
    assert len(np.unique(expected)) > 1
    assert np.array_equal(actions(load_policy_maker(tmp_path)), expected)


@each_algorithm
def test_every_weight_is_restored_including_the_world_model(algo: str, tmp_path: Path) -> None:
    module = trained(algo)
    save_policy(module, algo, tmp_path, EXTRA)
    back = load_policy(tmp_path).state_dict()
    assert back.keys() == module.state_dict().keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in module.state_dict().items())


def test_description_contains_network_spaces_and_extra_values(saved: Path) -> None:
    tree = json.loads((saved / DESCRIPTION).read_text())
    assert (tree["format"], tree["algorithm"], tree["observation_size"], tree["action"]) == (
        2,
        "dreamerv3",
        7,
        {"kind": "box", "size": 3},
    )
    assert tree["network"] == NETWORKS["dreamerv3"]
    assert tree["extra"] == EXTRA


NO_PICKLE = """
import sys
def refuse(event, args):
    if event == "pickle.find_class":
        raise RuntimeError(f"unpickled {args}")
sys.addaudithook(refuse)
import pickle
from pathlib import Path
try:
    pickle.loads(pickle.dumps(Path()))
except RuntimeError:
    print("refuses")
from dreamer_exp.checkpoints.policy_file import load_policy
module = load_policy(Path(sys.argv[1]))
import ray
print(sum(parameter.numel() for parameter in module.parameters()), ray.is_initialized())
"""


@each_algorithm
def test_loading_unpickles_nothing_and_does_not_start_ray(algo: str, tmp_path: Path) -> None:
    module = trained(algo)
    save_policy(module, algo, tmp_path, EXTRA)
    done = subprocess.run(
        [sys.executable, "-c", NO_PICKLE, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    weights = sum(parameter.numel() for parameter in module.parameters())
    assert done.stdout.split() == ["refuses", str(weights), "False"]


@each_algorithm
def test_loading_does_not_touch_torchs_global_generator(algo: str, tmp_path: Path) -> None:
    save_policy(trained(algo), algo, tmp_path, EXTRA)
    before = torch.get_rng_state()
    load_policy(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", [TENSORS, DESCRIPTION])
def test_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(UserError, match=f"{name}: (there is no such file|missing)"):
        load_policy(saved)


def test_an_unknown_format_is_refused(saved: Path) -> None:
    edit(saved, format=3)
    with pytest.raises(UserError, match="format=3 is unknown, allowed: 1, 2"):
        load_policy(saved)


@pytest.mark.parametrize("text", ['{"for', "[]", "{}", "\x00"])
def test_file_that_is_not_a_description_is_refused(saved: Path, text: str) -> None:
    (saved / DESCRIPTION).write_text(text)
    with pytest.raises(UserError, match=r"not a policy's description|cannot be read as JSON"):
        load_policy(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("algorithm", "other"),
        ("algorithm", ["dreamerv3"]),
        ("network", {"deter": 64}),
        ("network", {**NETWORKS["dreamerv3"], "blocks": 5}),
        ("network", {**NETWORKS["dreamerv3"], "units": "64"}),
        ("observation_size", 0),
        ("action", {"kind": "box", "size": True}),
        ("action", "box"),
        ("symlog_obs", None),
        ("extra", 1),
    ],
)
def test_invalid_description_is_refused_with_the_key(saved: Path, key: str, value: Any) -> None:
    edit(saved, **{key: value})
    with pytest.raises(UserError, match=rf"{key}=.* describes no valid network"):
        load_policy(saved)


@pytest.mark.parametrize("model_size", ["12M", None])
def test_unknown_model_size_of_rllib_is_refused(tmp_path: Path, model_size: Any) -> None:
    save_policy(trained("dreamerv3_rllib"), "dreamerv3_rllib", tmp_path, EXTRA)
    edit(tmp_path, network={"model_size": model_size, "batch_length_T": 8})
    with pytest.raises(UserError, match=r"network=.* describes no valid network"):
        load_policy(tmp_path)


def test_weights_of_another_shape_are_refused_with_the_name(saved: Path) -> None:
    edit(saved, observation_size=6)
    with pytest.raises(UserError, match=r"agent\.decoder.* is float32\[7\], but policy\.json .* requires float32\[6\]"):
        load_policy(saved)


def test_acting_parts_alone_act_like_the_complete_policy(saved: Path) -> None:
    before = actions(load_policy_maker(saved))
    tensors = load_file(saved / TENSORS)
    acting = ("agent.encoder.", "agent.rssm.", "agent.actor.")
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith(acting)}, saved / TENSORS)
    edit(saved, acting_only=True)

    np.testing.assert_array_equal(actions(load_policy_maker(saved)), before)


def test_weights_of_another_type_are_refused(saved: Path) -> None:
    tensors = load_file(saved / TENSORS)
    save_file({name: tensor.double() for name, tensor in tensors.items()}, saved / TENSORS)
    with pytest.raises(UserError, match="is float64"):
        load_policy(saved)


def test_weights_in_int8_without_the_scales_of_their_rows_are_refused(saved: Path) -> None:
    tensors = load_file(saved / TENSORS)
    tensors["agent.actor.0.weight"] = tensors["agent.actor.0.weight"].to(torch.int8)
    tensors["agent.actor.0.weight.scale"] = torch.ones(3)
    save_file(tensors, saved / TENSORS)
    with pytest.raises(UserError, match=r"agent\.actor\.0\.weight is int8.* without float32 scales of its rows"):
        load_policy(saved)


@pytest.mark.parametrize("change", ["less", "more"])
def test_weights_that_are_missing_or_unknown_are_refused(saved: Path, change: str) -> None:
    tensors = load_file(saved / TENSORS)
    if change == "less":
        del tensors["agent.actor.0.bias"]
    else:
        tensors["agent.other"] = torch.zeros(1)
    save_file(tensors, saved / TENSORS)
    with pytest.raises(UserError, match="nothing"):
        load_policy(saved)


def test_truncated_weights_are_refused(saved: Path) -> None:
    content = (saved / TENSORS).read_bytes()
    (saved / TENSORS).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="not a complete safetensors file"):
        load_policy(saved)


def test_full_disk_raises_oserror_and_leaves_the_old_weights(saved: Path) -> None:
    before = (saved / TENSORS).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_policy(trained("dreamerv3", seed=2), "dreamerv3", saved, EXTRA)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (saved / TENSORS).read_bytes() == before


def test_failed_write_leaves_the_old_files(saved: Path) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(ValueError, match="JSON"):
        save_policy(trained("dreamerv3", seed=2), "dreamerv3", saved, {"loss": float("nan")})
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_failed_write_of_the_weights_leaves_the_old_description(saved: Path) -> None:
    described = (saved / DESCRIPTION).read_bytes()
    (saved / TENSORS).unlink()
    (saved / TENSORS).mkdir()
    with pytest.raises(OSError, match=TENSORS):
        save_policy(trained("dreamerv3", seed=2), "dreamerv3", saved, {})
    assert (saved / DESCRIPTION).read_bytes() == described
    assert {path.name for path in saved.iterdir()} == {TENSORS, DESCRIPTION}


@pytest.fixture(params=["dreamerv3", "dreamerv3_rllib"])
def algo(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def algorithm(algo: str, ray_local: None) -> Iterator[BaseDreamerV3]:
    built = build_algorithm(nano(f"algo={algo}"))
    yield built
    built.stop()


def learners_module(algorithm: BaseDreamerV3) -> RLModule:
    (found,) = algorithm.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID].unwrapped())
    return found.get()


def test_saved_policy_of_a_learner_acts_like_the_evaluated_one(
    algorithm: BaseDreamerV3, algo: str, tmp_path: Path
) -> None:
    algorithm.train()
    save_policy(learners_module(algorithm), algo, tmp_path, EXTRA)
    observation = np.random.default_rng(1).random((3, 831), np.float32)
    acted = [
        begun(make_policy).act(observation)
        for make_policy in (load_policy_maker(tmp_path), policy_maker(algo, algorithm.module_to_evaluate()))
    ]
    assert np.array_equal(*acted)


@pytest.mark.parametrize("algo", ["dreamerv3"], indirect=True)
def test_network_of_an_env_runner_without_world_model_is_refused(algorithm: BaseDreamerV3, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save the learner's"):
        save_policy(algorithm.env_runner.module, "dreamerv3", tmp_path, EXTRA)


# claims of files from anywhere, checked before torch is asked for memory


@pytest.mark.parametrize(
    "claim",
    [
        {"network": {"deter": 4 * 10**9}},
        {"network": {"units": 40_000, "hidden": 40_000}},
        {"network": {"encoder_layers": 10**12}},
        {"network": {"critic_layers": 500}},
        {"observation_size": 10**12},
        {"action": {"kind": "discrete", "size": 10**9}},
    ],
)
def test_a_network_of_more_weights_than_the_file_holds_is_not_built(saved: Path, claim: dict[str, Any]) -> None:
    tree = json.loads((saved / DESCRIPTION).read_text())
    edit(saved, **{key: {**tree[key], **value} if isinstance(value, dict) else value for key, value in claim.items()})
    with pytest.raises(UserError, match=r"larger network|weights, but policy\.safetensors has"):
        read_description(saved)


def test_a_large_network_of_rllib_needs_its_weights(tmp_path: Path) -> None:
    save_policy(trained("dreamerv3_rllib"), "dreamerv3_rllib", tmp_path, EXTRA)
    edit(tmp_path, network={"model_size": "XL", "batch_length_T": 8})
    with pytest.raises(UserError, match=r"weights, but policy\.safetensors has"):
        read_description(tmp_path)


def header(tree: bytes) -> bytes:
    return len(tree).to_bytes(8, "little") + tree


@pytest.mark.parametrize(
    "content",
    [
        b"",
        (2**63).to_bytes(8, "little") + b"{}",
        header(b" " * 5_000_000),
        header(b"[" * 100_000),
        header(b"[]"),
        header(b'{"a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'),
        header(b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}'),
        header(b'{"a": {"dtype": "X", "shape": [1], "data_offsets": [0, 4]}}') + b"1234",
        header(b'{"a": 3}'),
        header(b'{"a": {"dtype": "U8", "shape": [true], "data_offsets": [0, 1]}}') + b"1",
        header(b'{"a": {"dtype": "U8", "shape": [-1, -1], "data_offsets": [0, 1]}}') + b"1",
        header(b'{"a": {"dtype": "U8", "shape": "", "data_offsets": [0, 1]}}') + b"1",
        header(b'{"a": {"dtype": "U8", "shape": [0, 99], "data_offsets": [0, 0]}}'),
        header(b'{"a": {"dtype": "U8", "shape": [%s1], "data_offsets": [0, 1]}}' % (b"1," * 2**19)) + b"1",
        header(b'{"a": {"dtype": "U8", "shape": [%s9], "data_offsets": [0, 1]}}' % (b"9," * 2**20)) + b"1" * 9,
    ],
    ids=range(15),
)
def test_a_header_that_does_not_fit_its_file_is_refused(saved: Path, content: bytes) -> None:
    (saved / TENSORS).write_bytes(content)
    with pytest.raises(UserError, match="not a complete safetensors file"):
        read_description(saved)


def test_weights_that_are_a_link_are_refused(saved: Path) -> None:
    (saved / TENSORS).rename(saved / "moved")
    (saved / TENSORS).symlink_to(saved / "moved")
    with pytest.raises(UserError, match="is a symbolic link"):
        read_description(saved)


def test_a_description_is_read_without_torch(saved: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dreamer_exp.checkpoints.policy_description import read_description;"
        "read_description(Path(sys.argv[1])); print({'ray', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(saved)], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
