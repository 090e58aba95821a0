"""The command evaluate, and composing a run's experiment again for it."""

import json
from pathlib import Path

import pytest

from dreamer_exp.checkpoints.manifest import resolve
from dreamer_exp.checkpoints.policy_source import find_policy
from dreamer_exp.cli.evaluate import (
    EPISODES_EACH,
    PRETRAINED_EPISODES,
    EvaluationRequest,
    auto_workers,
    check_contract,
    edit_lines,
    hinting_at_memory,
    own_report,
    read_words,
    refuse_no_episodes,
    refuse_part_of_protocol,
    with_episodes,
    writable,
)
from dreamer_exp.cli.recompose import recompose, refuse_import
from dreamer_exp.config.errors import UserError
from dreamer_exp.envs.crowd_nav.config import CrowdNavConfig
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.make import contract_of
from dreamer_exp.envs.robot_sf.config import RobotSFConfig
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.hardware import physical_cores
from tests.experiments import experiment, machine, nano_gym

GIB = 2**30


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Return the directory of a quickstart run; its preset sets env.scenario, which Robot SF lacks."""
    composed = experiment("experiment=quickstart", "env.lidar_noise=false")
    (tmp_path / "experiment.yaml").write_text(composed.to_yaml())
    return tmp_path


def test_the_commands_own_words_are_separated_from_settings() -> None:
    words = ["episodes=7", "video=3", "baseline=orca,hl", "lidar=false", "out=/elsewhere", "env=robot_sf"]
    request = read_words(["outputs/run", *words])
    films = FilmRequest(3, ("orca", "hl"), lidar=False)
    assert request == EvaluationRequest(
        Path("outputs/run"), ["evaluation.episodes=7", "env=robot_sf"], films, Path("/elsewhere")
    )


def test_by_default_nothing_is_filmed_and_files_go_into_the_run() -> None:
    assert read_words(["outputs/run"]) == EvaluationRequest(Path("outputs/run"), [], FilmRequest(0), out=None)


@pytest.mark.parametrize(("words", "number"), [([], None), (["workers=auto"], None), (["workers=0"], 0),
                                               (["workers=8"], 8)])  # fmt: skip
def test_workers_are_automatic_or_a_number(words: list[str], number: int | None) -> None:
    assert read_words(["outputs/run", *words]).workers == number


def test_a_pretrained_policy_is_evaluated_without_a_number_of_episodes() -> None:
    source = find_policy("pretrained:robot_sf")
    assert recompose(source.root, with_episodes(["env=crowd_nav"])).evaluation.episodes == PRETRAINED_EPISODES
    for words in (["evaluation.episodes=3"], ["evaluation=thorough"]):
        assert with_episodes(words) == words


def test_the_device_is_one_of_three_words() -> None:
    assert [read_words(["outputs/run", *words]).device for words in ([], ["device=cuda"])] == ["auto", "cuda"]
    with pytest.raises(UserError, match=r"^device=gpu: it is one of auto, cpu, cuda"):
        read_words(["outputs/run", "device=gpu"])


def test_a_full_gpu_is_one_line_with_what_to_do() -> None:
    expected = pytest.raises(UserError, match=r"^device=cuda: the GPU's memory .*workers=2, or device=cpu")
    with expected, hinting_at_memory("cuda"):
        raise RuntimeError("CUDA error: out of memory")


@pytest.mark.parametrize("word", ["workers=-1", "workers=many", "workers="])
def test_workers_take_a_whole_number(word: str) -> None:
    with pytest.raises(UserError, match=f"^{word}: it takes a whole number of processes, or auto"):
        read_words(["outputs/run", word])


def test_automatic_workers_are_bounded_by_episodes_and_memory() -> None:
    here = machine(cpus=1000, memory_bytes=64 * GIB)
    assert auto_workers(episodes=10_000, machine=here, bytes_each=1) == physical_cores(1000)
    assert auto_workers(episodes=4 * EPISODES_EACH, machine=here, bytes_each=1) == min(4, physical_cores(1000))
    assert auto_workers(episodes=10_000, machine=here, bytes_each=33 * GIB) == 0
    assert auto_workers(episodes=EPISODES_EACH, machine=here, bytes_each=1) == 0


@pytest.mark.parametrize("word", ["video=some", "video=-1", "video=1.5", "video="])
def test_video_takes_a_whole_number(word: str) -> None:
    with pytest.raises(UserError, match=f"^{word}: it takes a whole number"):
        read_words(["outputs/run", word])


def test_a_baseline_is_only_filmed() -> None:
    with pytest.raises(UserError, match=r"^baseline=orca: .* needs video=N; evaluation.baselines=\[orca\]"):
        read_words(["outputs/run", "baseline=orca"])


def test_the_lidar_is_shown_or_not() -> None:
    with pytest.raises(UserError, match=r"^lidar=no: true or false"):
        read_words(["outputs/run", "video=1", "lidar=no"])


def test_a_command_line_without_a_run_is_refused() -> None:
    with pytest.raises(UserError, match="name the run first"):
        read_words(["episodes=7"])


def test_a_missing_output_folder_is_created(tmp_path: Path) -> None:
    assert writable(tmp_path / "new" / "report").is_dir()
    assert list((tmp_path / "new" / "report").iterdir()) == []


def test_an_unwritable_run_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"run/report cannot be written .*out=DIR"):
        writable(tmp_path / "run" / "report")


def test_a_run_without_episodes_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="episodes=100"):
        refuse_no_episodes(recompose(run, ["evaluation=none"]))
    refuse_no_episodes(recompose(run, ["evaluation=none", "evaluation.episodes=1"]))


def test_a_number_of_episodes_is_refused_for_a_protocol_with_its_own_list(run: Path, tmp_path: Path) -> None:
    protocol = tmp_path / "mine.yaml"
    protocol.write_text("name: mine\nseeds: [900001, 900002]\n")
    words = [f"evaluation.protocol={protocol}"]
    refuse_part_of_protocol(recompose(run, words), words)
    words.append("evaluation.episodes=7")
    with pytest.raises(UserError, match=r"evaluation\.episodes=7: .* always has all of its 2 episodes"):
        refuse_part_of_protocol(recompose(run, words), words)


def test_the_runs_own_settings_apply(run: Path) -> None:
    found = recompose(run, [])
    assert isinstance(found.env, CrowdNavConfig)
    assert (found.env.scenario, found.env.lidar_noise) == ("open", False)


def test_settings_given_here_replace_the_runs(run: Path) -> None:
    found = recompose(run, ["env.scenario=dense", "evaluation.episodes=7"])
    assert isinstance(found.env, CrowdNavConfig)
    assert (found.env.scenario, found.env.lidar_noise, found.evaluation.episodes) == ("dense", False, 7)


def test_the_runs_hardware_need_not_exist_here(run: Path) -> None:
    words = ["hardware=cuda", "hardware.num_cpus=65", "hardware.num_env_runners=64", "algo.backend=cuda_graph"]
    assert recompose(run, words).algo.backend == "cuda_graph"


def test_another_environment_keeps_the_contract_but_no_key_of_the_runs_environment(run: Path) -> None:
    found = recompose(run, ["env=robot_sf", "env.max_steps=300", "evaluation.episodes=7"])
    assert isinstance(found.env, RobotSFConfig)
    assert (found.env.max_steps, found.evaluation.episodes) == (300, 7)
    own = recompose(run, [])
    check_contract(found, contract_of(own.env, own.obs_contract).hash)


ENCODERS = "obs_contract.encoders={rays: lidar}"


@pytest.mark.parametrize(
    ("trained", "here", "message"),
    [
        (
            [ENCODERS],
            ["obs_contract.encoders.rays=vector"],
            "obs_contract.encoders.rays=vector: the policy was trained with lidar for rays; use its encoders, or train "
            "another policy.",
        ),
        (
            [],
            [ENCODERS],
            "obs_contract.encoders.rays=lidar: the policy was trained with vector for rays; use its encoders, or train "
            "another policy.",
        ),
    ],
)
def test_another_encoder_is_refused_by_name(run: Path, trained: list[str], here: list[str], message: str) -> None:
    policy, found = recompose(run, trained), recompose(run, here)
    contract = contract_of(policy.env, policy.obs_contract)
    with pytest.raises(UserError) as refused:
        check_contract(found, contract.hash, contract.size, json.loads(json.dumps(contract.to_dict())))
    assert str(refused.value) == message


def test_other_observations_are_refused_by_name_if_the_policy_records_its_own(run: Path) -> None:
    policy, found = recompose(run, []), recompose(run, ["obs_contract=drive_state_rays"])
    contract = contract_of(policy.env, policy.obs_contract)
    with pytest.raises(UserError, match=r"rays.shape is \[272\] there and \[3, 272\] here"):
        check_contract(found, contract.hash, recorded=json.loads(json.dumps(contract.to_dict())))
    with pytest.raises(UserError, match=rf"trained on {contract.hash}: choose an env"):
        check_contract(found, contract.hash)


def test_another_environment_keeps_the_runs_action_repeat_unless_it_is_given(tmp_path: Path) -> None:
    composed = experiment("experiment=quickstart", "env.action_repeat=2")
    (tmp_path / "experiment.yaml").write_text(composed.to_yaml())

    assert recompose(tmp_path, []).env.action_repeat == 2
    assert recompose(tmp_path, ["env=robot_sf"]).env.action_repeat == 2
    assert recompose(tmp_path, ["env=robot_sf", "env.action_repeat=1"]).env.action_repeat == 1


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Return the directory of a run whose file names a module."""
    (tmp_path / "experiment.yaml").write_text(nano_gym("surprise:CartPole-v1").to_yaml())
    return tmp_path


def test_a_module_that_a_file_names_is_not_imported(foreign: Path) -> None:
    with pytest.raises(UserError, match=r"env\.id='surprise:CartPole-v1' imports a module .* trust=true"):
        refuse_import(recompose(foreign, ["evaluation.episodes=7"]).env, foreign, ["evaluation.episodes=7"])


@pytest.mark.parametrize(
    "words", [["trust=true"], ["env.id=surprise:CartPole-v1"], ["env=gym", "env.id=surprise:X-v0"]]
)
def test_a_module_is_imported_if_the_command_line_allows_it(foreign: Path, words: list[str]) -> None:
    env = recompose(foreign, words).env
    assert isinstance(env, GymConfig)
    assert env.id.startswith("surprise:")
    refuse_import(env, foreign, words)


def test_an_edited_network_is_refused(foreign: Path) -> None:
    composed = nano_gym("CartPole-v1")
    (foreign / "experiment.yaml").write_text(composed.to_yaml().replace("deter: 64", "deter: 128"))
    (foreign / "provenance.json").write_text(json.dumps({"experiment": composed.to_dict()}))
    with pytest.raises(UserError, match=r"algo\.network\.deter=128 changes the network"):
        recompose(foreign, [])


def test_edits_are_printed_by_key() -> None:
    assert edit_lines({"algo.gamma": (0.9, 0.5)}) == ["experiment.yaml was edited by hand: algo.gamma 0.9 -> 0.5"]
    assert edit_lines(None) == ["experiment.yaml was edited by hand; which keys is not recorded"]
    assert edit_lines({}) == []


def test_a_report_that_is_a_link_is_refused(tmp_path: Path) -> None:
    assert own_report(tmp_path) == tmp_path / "report"
    (tmp_path / "report").symlink_to(tmp_path)
    with pytest.raises(UserError, match="report is a link or not a folder; name another folder with out=DIR"):
        own_report(tmp_path)


def test_a_directory_without_an_experiment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"experiment\.yaml: missing\. Name a run"):
        recompose(tmp_path, [])


@pytest.mark.parametrize(
    ("manifest", "message"),
    [('{"fi', r"manifest\.json: cannot be read as JSON; name another"), ("{}", r"manifest\.json: format=1 is unknown")],
)
def test_a_damaged_manifest_is_refused_by_name(tmp_path: Path, manifest: str, message: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(UserError, match=message):
        resolve(tmp_path)
