"""Refused command lines, through the real entry point: exit code 2 and one line with key, value and what to do."""

import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException
from hypothesis import given
from hypothesis import strategies as st

from dreamer_exp.algorithms.dreamerv3.config import DreamerV3AlgoConfig
from dreamer_exp.cli import errors
from dreamer_exp.cli.main import main
from dreamer_exp.config.compose import refuse_option_lists, variants
from dreamer_exp.config.composition_errors import TAKES, all_keys, unknown_key, user_error
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.multirun import parse
from dreamer_exp.config.schema import ExperimentConfig
from tests.composition import composed
from tests.config.composing import OPTIONS, schema_keys

Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Return a function that runs the program with these words, and checks and returns its message."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(errors, "SHOW_TRACEBACK", False)
    monkeypatch.setenv(errors.FULL_ERROR, "1")  # so that the value set by the program is removed after the test

    def run(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["dreamer_exp", *words, "dry_run=true"])  # no training if it is accepted
        with pytest.raises(SystemExit) as ended:
            main()
        out, message = capfd.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert message.count("\n") == 1
        assert message.startswith("dreamer_exp: ")
        assert [path for path in tmp_path.rglob("*") if path.name != "outputs"] == []
        return message.removeprefix("dreamer_exp: ").rstrip("\n")

    return run


# Keys


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("tracking=[wandb_offline,tensorboard]", "tracking takes the name of one option; under -m, several"),
        ("tracking.tags=[null]", "tracking.tags[0] is of the wrong type: tracking.tags takes a list, [a,b]."),
        ("tracking.tags={a: 1}", "tracking.tags is of the wrong type: it takes a list, [a,b]."),
        ("run.stop_when={1: 2}", "run.stop_when.1 is of the wrong type: run.stop_when takes names with numbers"),
        ("evaluation.baselines=[random,random]", "evaluation.baselines: 'random' is given twice"),
        ("hardware.ray_address=''", "hardware.ray_address is empty; name a cluster, as HOST:PORT"),
        ("hydra.run.dir=''", "hydra.run.dir is empty; name a directory"),
        ("--foo", "unrecognized arguments: --foo; see dreamer-exp --help."),
    ],
)
def test_what_is_no_value_of_a_key_is_refused_with_what_it_takes(refused: Refused, word: str, line: str) -> None:
    assert line in refused(word)


@pytest.mark.parametrize("word", ["algo=[dreamerv3,ppo]", "env=null", "env={name: gym}", "hardware=", "+tracking=[]"])
def test_a_group_takes_one_option(word: str) -> None:
    with pytest.raises(UserError, match="takes the name of one option"):
        refuse_option_lists([word])


def test_a_sweep_into_an_empty_directory_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"hydra\.sweep\.dir is empty"):
        parse(["-m", "hydra.sweep.dir=", "run.seed=1,2"])


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("algo.horzon_H=15", "algo.horzon_H: there is no such key. Did you mean 'algo.horizon_H'? algo has: name, "),
        ("+algo.horzon_H=15", "algo.horzon_H: there is no such key. Did you mean 'algo.horizon_H'?"),
        ("++run.train_iteration=5", "run.train_iteration: there is no such key. Did you mean 'run.train_iterations'?"),
        ("env.reward.progres=3", "env.reward.progres: there is no such key. Did you mean 'env.reward.progress'?"),
        ("+algo.foo=1", "algo.foo: there is no such key. algo has: name, model_size, "),
        ("algo.network.detr=9", "algo.network.detr: there is no such key. Did you mean 'algo.network.deter'?"),
        ("algo.deter=9", "algo.deter: there is no such key. Did you mean 'algo.network.deter'?"),
        ("+foo=1", "foo: there is no such key. There are: env, "),
        ("horizon_H=15", "horizon_H: there is no such key. Did you mean 'algo.horizon_H'?"),
        ("+horizon_H=15", "horizon_H: there is no such key. Did you mean 'algo.horizon_H'?"),
        ("training_ratio=32", "training_ratio: there is no such key. Did you mean 'algo.training_ratio'?"),
        ("env.batch_size_B=8", "env.batch_size_B: there is no such key. Did you mean 'algo.batch_size_B'?"),
        ("enf=gym", "enf: there is no such key. Did you mean 'env'?"),
        ("enviroment=gym", "enviroment: there is no such key. Did you mean 'env'?"),
        ("algorithm=dreamerv3", "algorithm: there is no such key. Did you mean 'algo'?"),
        ("tiny=1", "tiny: there is no such key. There are: env, "),
        ("experment=quickstart", "experment: there is no such key. Did you mean 'experiment'?"),
        ("hydra.run.dirr=x", "hydra.run.dirr: there is no such key. Did you mean 'hydra.run.dir'?"),
    ],
)
def test_refusal_of_an_unknown_key_suggests_the_nearest_key(refused: Refused, word: str, line: str) -> None:
    assert refused(word).startswith(line)


def test_refusal_of_another_environments_key_lists_the_keys_of_this_one(refused: Refused) -> None:
    line = refused("env=gym", "env.scenario=open")

    known = "name, max_steps, action_repeat, failure_floor, max_faults, id, kwargs"
    assert line == f"env.scenario: there is no such key. env has: {known}."


def test_refusal_of_another_algorithms_key_lists_the_keys_of_this_one(refused: Refused) -> None:
    line = refused("algo=ppo", "algo.horizon_H=15")

    assert line.startswith("algo.horizon_H: there is no such key. algo has: name, gamma, fcnet_hiddens, ")


def test_refusal_of_a_new_name_in_a_mapping_of_hydra_describes_how_to_add_it(refused: Refused) -> None:
    line = refused("hydra.job.env_set.A=1")

    assert line == "hydra.job.env_set.A: hydra.job.env_set has no 'A' yet; +hydra.job.env_set.A=... adds it."


OF_ALGO = [f"algo.{declared.name}" for declared in fields(DreamerV3AlgoConfig) if len(declared.name) > 5]


@given(st.sampled_from(OF_ALGO), st.data())
def test_key_of_algo_is_suggested_if_one_letter_is_missing(path: str, data: st.DataObject) -> None:
    leaf = path.removeprefix("algo.")
    at = data.draw(st.integers(0, len(leaf) - 1))

    assert f"Did you mean {path!r}?" in unknown_key(f"algo.{leaf[:at]}{leaf[at + 1 :]}", DreamerV3AlgoConfig)


@given(st.sampled_from([name for name in all_keys() if "_" in name and "." in name]))
def test_key_is_suggested_if_its_group_is_missing(path: str) -> None:
    leaf = path.rpartition(".")[2]
    alike = [other for other in all_keys() if other.rpartition(".")[2] == leaf]

    assert any(f"Did you mean {other!r}?" in unknown_key(leaf, ExperimentConfig) for other in alike)


@pytest.mark.parametrize(
    "words", [("algo.learner=rllib",), ("+algo.learner=fast",), ("algo=dreamerv3_rllib", "algo.learner=x")]
)
def test_refusal_of_algo_learner_names_the_options_that_replaced_it(refused: Refused, words: tuple[str, ...]) -> None:
    line = refused(*words)

    assert line == (
        "algo.learner: the algorithm is an option now: algo=dreamerv3 (was fast) or algo=dreamerv3_rllib (was rllib)."
    )


KEYS_OF = {
    option: {declared.name for declared in fields(node) if declared.name != "name"}
    for option, node in variants("algo").items()
}


@pytest.mark.parametrize(
    ("option", "name"),
    [(option, name) for option in KEYS_OF for other in KEYS_OF for name in sorted(KEYS_OF[other] - KEYS_OF[option])],
)
def test_key_of_the_other_algorithm_is_refused(option: str, name: str) -> None:
    with pytest.raises(ConfigCompositionException) as error:
        composed(f"algo={option}", f"algo.{name}=1")

    line = str(user_error(error.value))
    assert line.startswith(f"algo.{name}: there is no such key.")
    assert "algo has: name, " in line
    assert "\n" not in line


# Options


@pytest.mark.parametrize("group", sorted({group for group, _ in OPTIONS}))
def test_refusal_of_an_unknown_option_lists_the_options(refused: Refused, group: str) -> None:
    line = refused(f"{group}=nonsuch")

    assert line.startswith(f"{group}=nonsuch: there is no such option.")
    assert line.endswith(f"{group} has: {', '.join(option for of, option in OPTIONS if of == group)}.")


def test_refusal_of_a_misspelt_option_suggests_the_nearest(refused: Refused) -> None:
    assert "Did you mean 'slurm'?" in refused("hardware=slrum")


@pytest.mark.parametrize(
    ("word", "setting"),
    [("env=quickstart", "experiment=quickstart"), ("algo=tiny", "algo.model_size=nano"), ("experiment=gym", "env=gym")],
)
def test_an_option_of_another_group_is_answered_with_that_group(refused: Refused, word: str, setting: str) -> None:
    assert refused(word).startswith(f"{word}: there is no such option. Did you mean {setting!r}?")


def test_a_word_without_a_group_is_answered_with_its_group(refused: Refused) -> None:
    assert refused("quickstart").startswith(
        "'quickstart' is neither a command nor KEY=VALUE. Did you mean 'experiment=quickstart'?"
    )


def test_refusal_of_an_option_with_a_plus_shows_how_to_write_it(refused: Refused) -> None:
    line = refused("+experiment=quickstart")

    assert line.endswith("write experiment=quickstart, without the +.")


# Types


@pytest.mark.parametrize(
    ("word", "takes"),
    [
        ("algo.horizon_H='abc'", "a whole number"),
        ("algo.horizon_H=1.5", "a whole number"),
        ("run.seed=True", "a whole number"),
        ("algo.gamma='high'", "a number"),
        ("algo.gamma=null", "a number"),
        ("algo.actor_lr=null", "a number or auto"),
        ("algo.network.deter=1.5", "a whole number or auto"),
        ("algo.network=3", "keys of its own: deter, hidden, "),
        ("algo.train_actor='perhaps'", "true or false"),
        ("run.id=['a']", "text"),
        ("hardware.num_cpus=2.5", "a whole number or auto"),
        ("hardware.max_env_runners='x'", "a whole number or null"),
        ("obs_contract.keys=3", "a list, [a,b]"),
        ("env.scenario_weights=3", "names with numbers, {a: 1.0}"),
        ("env.scenario_weights.open='often'", "a number"),
        ("env.reward=3", "keys of its own: progress, living, "),
    ],
)
def test_refusal_of_a_value_of_the_wrong_type_names_the_right_type(refused: Refused, word: str, takes: str) -> None:
    assert refused(word).startswith(f"{word} is of the wrong type: it takes {takes}")


def test_every_type_of_the_schema_has_a_description() -> None:
    assert {str(key) for key in schema_keys() if key.takes not in TAKES} == set()


# Values


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("algo.batch_length_T=1",), "algo.batch_length_T=1 is out of range: it has to be at least 2."),
        (("algo.horizon_H=0",), "algo.horizon_H=0 is out of range: it has to be at least 1."),
        (("run.checkpoint_every=0",), "run.checkpoint_every=0 is out of range: it has to be at least 1."),
        (("algo.training_ratio=-1",), "algo.training_ratio=-1.0 is out of range: it has to be more than 0."),
        (("algo.gamma=nan",), "algo.gamma=nan is out of range: it has to be finite and more than 0 and at most 1."),
        (("algo.model_size=XXL",), "algo.model_size='XXL' is not one of: nano, XS, 1M, 12M, 25M, 50M, 100M, 200M, S, "),
        (("algo=dreamerv3_rllib", "algo.model_size=12M"), "algo.model_size='12M' is not one of: nano, micro, mini, "),
        (("algo.precision=tf32",), "algo.precision=tf32 needs a learner on a GPU: use hardware="),
        (("algo.loss_scales.critc=2",), "algo.loss_scales.critc is not a loss. Did you mean 'critic'? Use: decoder, "),
        (
            ("algo.decoder_scales.drive_stat=2",),
            "algo.decoder_scales: 'drive_stat' is not in the observation contract. Did you mean 'drive_state'?",
        ),
        (("algo.decoder_scales={camera: 2}",), "algo.decoder_scales: 'camera' is not in the observation contract."),
        (("algo.network.blocks=7",), "algo.network.blocks=7 has to divide algo.network.deter=512."),
        (("algo.replay_capacity=100",), "algo.replay_capacity=100 is less than one batch: it has to be at least "),
        (("hardware=cuda",), "hardware.num_gpus_per_learner=1 asks for 1 GPU(s), and this machine shows 0"),
        (("hardware.num_env_runners=9", "hardware.num_cpus=8"), "hardware.num_env_runners=9 is more than"),
        (("obs_contract.keys=[drive_state,camera]",), "obs_contract.keys: 'camera' is not an observation of this env"),
        (("run.id=../elsewhere",), "run.id='../elsewhere' cannot begin a directory's name"),
        (("algo.horizon_H=${algo.nonsuch}",), "algo.horizon_H: Interpolation key 'algo.nonsuch' not found."),
    ],
)
def test_invalid_value_is_refused_in_one_line(refused: Refused, words: tuple[str, ...], line: str) -> None:
    assert refused(*words).startswith(line)


# Words that cannot be parsed


@pytest.mark.parametrize("words", ["algo.batch_size_B=8,16", "hardware=cpu,auto"])
def test_refusal_of_several_values_names_the_flag_of_a_sweep(refused: Refused, words: str) -> None:
    line = refused(words)

    assert words in line
    assert line.endswith("several values make a sweep, which takes -m.")


@pytest.mark.parametrize("word", ["run.seed=range(5,5)", "experiment=glob(nothing*)", "run.seed=range(5,1)"])
def test_a_sweep_without_values_is_refused(refused: Refused, word: str) -> None:
    assert refused("-m", word) == f"{word}: -m needs at least one value, and this has none."


def test_a_broken_file_of_options_is_named(refused: Refused, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("options")
    (folder / "experiment").mkdir()
    (folder / "experiment" / "mine.yaml").write_text("# @package _global_\nalgo:\n\thorizon_H: 5\n")

    line = refused("--config-dir", str(folder), "experiment=mine")

    assert line == f"{folder}/experiment/mine.yaml, line 3: indented with a tab; YAML takes spaces."


@pytest.mark.parametrize("word", ["algo.batch_size_B=[1", "algo", "run.id=two words)"])
def test_refusal_quotes_an_override_that_cannot_be_parsed(refused: Refused, word: str) -> None:
    assert refused("run.seed=1", word).startswith(f"{word!r} cannot be read as KEY=VALUE")


@pytest.mark.parametrize("key", ["obs_contract.encoders", "algo.decoder_scales"])
def test_a_path_as_name_in_a_mapping_is_refused_with_the_spelling_that_works(refused: Refused, key: str) -> None:
    assert refused(f"{key}.camera/rgb=1").endswith(f"; write '{key}={{camera/rgb: 1}}'.")


def test_refusal_names_a_missing_config_dir(refused: Refused) -> None:
    assert f"{os.sep}nowhere' not found" in refused("--config-dir", "nowhere")
