"""The command `dreamer-exp evaluate RUN`: a trained policy on fixed seeds, in any env with its observation contract."""

import os
import secrets
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from rich.console import Console

from dreamer_exp.checkpoints.contract_difference import ENCODER, as_text, differences
from dreamer_exp.checkpoints.policy_description import TENSORS, described_environment, read_description, read_weights
from dreamer_exp.checkpoints.policy_source import find_policy
from dreamer_exp.cli.errors import run_command
from dreamer_exp.cli.recompose import recompose, refuse_import
from dreamer_exp.cli.supervisor import supervise
from dreamer_exp.cli.usage import with_usage
from dreamer_exp.config.errors import UserError
from dreamer_exp.config.experiment import Experiment
from dreamer_exp.config.saved_experiment import edits
from dreamer_exp.config.schema import AUTO
from dreamer_exp.config.text_values import as_typed
from dreamer_exp.envs.make import contract_of, require
from dreamer_exp.evaluation.device import CPU, GPU_BYTES_EACH, check_device, choose_device, device_name
from dreamer_exp.evaluation.episodes import episode_list
from dreamer_exp.evaluation.video.request import FilmRequest
from dreamer_exp.formatting import now_utc, printable
from dreamer_exp.hardware import Machine, auto_processes, probe
from dreamer_exp.monitoring.logs import quiet
from dreamer_exp.planning.forecast import RUNNER_BYTES
from dreamer_exp.planning.protocol import evaluated, read_protocol
from dreamer_exp.report.page import try_write_page
from dreamer_exp.rundir.edits import Edits
from dreamer_exp.rundir.layout import RunDirectory
from dreamer_exp.rundir.plain_file import is_plain_folder
from dreamer_exp.rundir.processes import notify
from dreamer_exp.training.signals import raise_on_signals

if TYPE_CHECKING:
    from dreamer_exp.evaluation.workers.base import OpenWorkers

USAGE = """\
dreamer-exp evaluate RUN [episodes=N] [env=OPTION] [workers=N] [device=cuda] [video=N]
                         [baseline=NAME] [lidar=false] [out=DIR] [KEY=VALUE ...]

RUN is a run's directory (its best checkpoint, else its latest), a checkpoint, or pretrained:NAME
for a policy of this package. The metrics of every episode (JSON) and the paths driven (PNG) are
written into RUN/report (of a pretrained policy: outputs/pretrained_NAME), or into DIR. video=N
films N episodes, failures of the worst scenarios first, as MP4 where imageio-ffmpeg is installed
(the extra `video`), else as GIF; baseline=orca adds what that baseline does on the same seeds, side
by side, and lidar=false leaves the rays out. workers=N runs the episodes in N processes, 0 in this
one; by default (auto) there is one for each physical core, as far as memory and episodes suffice.
The result does not depend on it. device=cuda lets every process act on the GPU; by default (auto)
only networks of 50 million weights or more do, and cpu never does. GPU and CPU round differently,
so that single episodes can differ between them. The run's own settings apply; settings given here
replace them, for example env=robot_sf, episodes=100 (short for evaluation.episodes=100),
evaluation.seed=7 or evaluation.baselines=[orca]. evaluation.protocol=robot_sf_s30_h600 drives that
list of episodes instead, with the options of the environment that belong to it. A module that the
run names in env.id is imported only with trust=true.
"""


OWN_WORDS = ("video", "baseline", "lidar", "out", "workers", "device")  # words that are not settings of the run
PRETRAINED_EPISODES = 20  # unless a number is given
EPISODES_EACH = 8  # fewest for an automatic worker, whose start takes seconds


@dataclass(frozen=True)
class EvaluationRequest:
    """The words of a command line.

    Attributes:
        path: a run's directory, a checkpoint, or pretrained:NAME.
        overrides: settings that replace the run's.
        films: the films to make.
        out: the output folder; None for the run's report/, or one in outputs/.
        workers: number of processes, 0 for this one; None for "auto".
        device: where the policy acts: "auto", "cpu" or "cuda".
    """

    path: Path
    overrides: list[str]
    films: FilmRequest = FilmRequest()
    out: Path | None = None
    workers: int | None = None
    device: str = AUTO


def main() -> NoReturn:
    """Run the command."""
    run_command(run)


@with_usage(USAGE)
def run(words: list[str]) -> int:
    """Evaluate as the words ask; return the exit code."""
    supervise()
    raise_on_signals()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # RLlib and Gymnasium warn when they are imported
        evaluate(read_words(words), Console(highlight=False))
    return 0


def read_words(words: list[str]) -> EvaluationRequest:
    """Return the request of a command line.

    Raises:
        UserError: no run is named, or a number is not one.
    """
    path = run_named_first("evaluate", words[0])
    given = [word.partition("=") for word in words[1:]]
    own = {name: value for name, _, value in given if name in OWN_WORDS}
    rest = [name + sign + value for name, sign, value in given if name not in OWN_WORDS]
    overrides = [f"evaluation.{word}" if word.startswith("episodes=") else word for word in rest]
    return EvaluationRequest(
        path,
        as_typed(overrides),
        read_films(own),
        Path(own["out"]) if own.get("out") else None,
        number_of_workers(own.get("workers", AUTO)),
        check_device(own.get("device", AUTO)),
    )


def read_films(own: Mapping[str, str]) -> FilmRequest:
    """Return the films that the words ask for.

    Raises:
        UserError: a word has a wrong value, or sets how to film where nothing is filmed.
    """
    number = whole_number("video", own.get("video", "0"), "episodes to film")
    baselines = tuple(name.strip() for name in own.get("baseline", "").strip("[]").split(",") if name.strip())
    if baselines and not number:
        raise UserError(
            f"baseline={own['baseline']}: it is filmed next to the policy, and needs video=N; "
            f"evaluation.baselines=[{','.join(baselines)}] evaluates it without films."
        )
    if (lidar := own.get("lidar", "true")) not in ("true", "false"):
        raise UserError(f"lidar={lidar}: true or false, whether films show the rays.")
    return FilmRequest(number, baselines, lidar == "true")


def run_named_first(command: str, word: str) -> Path:
    """Return the path of a run or policy, a command's first word; raise UserError if it is a setting instead."""
    if "=" in word and not Path(word).exists():
        raise UserError(f"{word}: name the run first: dreamer-exp {command} outputs/<run> {word}")
    return Path(word)


def number_of_workers(text: str) -> int | None:
    """Return the number of processes of `workers=`; None for "auto"."""
    return None if text == AUTO else whole_number("workers", text, "processes, or auto")


def whole_number(key: str, text: str, what: str) -> int:
    """Return the number of a word; raise UserError if it is not a whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise UserError(f"{key}={text}: it takes a whole number of {what}, 0 or more.")
    return int(text)


def evaluate(request: EvaluationRequest, console: Console) -> None:
    """Evaluate the policy, print the table, and write metrics, picture and videos.

    Raises:
        UserError: there is no checkpoint, the folder cannot be written, or the env has another observation contract.
    """
    source = find_policy(str(request.path))
    root, checkpoint = source.root, source.folder
    trained, description = source.manifest, read_description(checkpoint)
    experiment = recompose(root, with_episodes(request.overrides) if source.is_pretrained else request.overrides)
    notify(env=experiment.env.label)
    refuse_no_episodes(experiment)
    refuse_part_of_protocol(experiment, request.overrides)
    experiment = evaluated(experiment)
    refuse_import(experiment.env, root, request.overrides)
    require(experiment.env)
    recorded = described_environment(checkpoint, description["extra"]).get("contract")
    check_contract(experiment, trained["contract_hash"], description["observation_size"], recorded)
    device = choose_device(request.device, read_weights(checkpoint / TENSORS).numbers)
    folder = writable(request.out or (pretrained_report(root) if source.is_pretrained else own_report(root)))

    from dreamer_exp.checkpoints.policy_file import load_policy_maker  # ray and torch: when the files were checked
    from dreamer_exp.evaluation.report import EvaluationReport

    quiet("WARNING")  # after the imports, because RLlib sets its own level
    edited = edits(RunDirectory(root).experiment)
    for line in edit_lines(edited):
        console.print(printable(line), soft_wrap=True, markup=False)
    settings = {name: part for name, part in experiment.to_dict().items() if name != "hardware"}
    about = {
        "run": printable(source.name if source.is_pretrained else root.name),
        "checkpoint": checkpoint.name,
        "device": device_name(device),
        "experiment": settings,
        "edited_by_hand": None if edited is None else {key: list(values) for key, values in edited.items()},
    }
    with hinting_at_memory(device), choose_workers(experiment, request.workers, checkpoint, device) as workers:
        report = EvaluationReport(
            experiment,
            load_policy_maker(checkpoint, device),
            trained["files"][TENSORS]["sha256"] + ("" if device == CPU else f" on {device}"),
            f"{source}, in {experiment.env.name}" + ("" if device == CPU else ", on the GPU"),
            folder / f"evaluation_{experiment.env.name}_{now_utc().replace(':', '')}_{secrets.token_hex(2)}",
            console,
            workers,
        )
        report.evaluate(about, trained["env_steps"], trained["updates"], request.films)
    if folder == RunDirectory(root).report and (page := try_write_page(root)):
        report.print_line(f"Report: {page}")


@contextmanager
def hinting_at_memory(device: str) -> Iterator[None]:
    """Raise UserError with what to do if the GPU's memory does not suffice within the block."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one; a CUDA context that does not fit has no class
        if device == CPU or "out of memory" not in str(error):
            raise
        raise UserError(
            f"device={device}: the GPU's memory does not suffice for all workers, and other programs may use it; use "
            "fewer, as workers=2, or device=cpu."
        ) from error


@contextmanager
def choose_workers(
    experiment: Experiment, number: int | None, checkpoint: Path, device: str
) -> "Iterator[OpenWorkers]":
    """Yield where the episodes run: in a number of processes, in this process for 0; None chooses."""
    from dreamer_exp.evaluation.workers.base import this_process
    from dreamer_exp.evaluation.workers.processes import kept_processes

    if number is None:
        network_bytes = (checkpoint / TENSORS).stat().st_size
        episodes = len(episode_list(experiment).episodes)
        machine = probe()
        number = auto_workers(episodes, machine, RUNNER_BYTES + network_bytes)
        if device != CPU and machine.gpu_memory_bytes:
            number = min(number, machine.gpu_memory_bytes // (GPU_BYTES_EACH + network_bytes))
    if not number:
        yield this_process
        return
    with kept_processes(number) as workers:
        yield workers


def auto_workers(episodes: int, machine: Machine, bytes_each: int) -> int:
    """Return a number of processes, each with episodes enough to repay its start; 0 for this process."""
    number = auto_processes(episodes // EPISODES_EACH, machine, bytes_each)
    return number if number > 1 else 0


def with_episodes(overrides: list[str]) -> list[str]:
    """Return the settings for a policy of this package, which has no run with a number of episodes."""
    given = any(word.startswith(("evaluation=", "evaluation.episodes=")) for word in overrides)
    return overrides if given else [f"evaluation.episodes={PRETRAINED_EPISODES}", *overrides]


def refuse_no_episodes(experiment: Experiment) -> None:
    """Raise UserError if neither the run's settings, its protocol nor those given here ask for episodes."""
    if not experiment.evaluation.episodes and read_protocol(experiment.evaluation.protocol).episodes is None:
        raise UserError("evaluation.episodes=0: the run has no evaluation episodes; set a number, as episodes=100.")


def refuse_part_of_protocol(experiment: Experiment, overrides: list[str]) -> None:
    """Raise UserError if a number of episodes is given for a protocol with a list of its own."""
    given = next((word for word in overrides if word.startswith("evaluation.episodes=")), None)
    episodes = read_protocol(experiment.evaluation.protocol).episodes
    if given is not None and episodes is not None:
        raise UserError(
            f"{given}: evaluation.protocol={experiment.evaluation.protocol} always has all of its {len(episodes):,} "
            "episodes; leave episodes out, or set evaluation.protocol=fixed_seeds."
        )


def own_report(root: Path) -> Path:
    """Return a run's report/; raise UserError if it is a link, which may lead anywhere."""
    report = RunDirectory(root).report
    if os.path.lexists(report) and not is_plain_folder(report):
        raise UserError(f"{report} is a link or not a folder; name another folder with out=DIR.")
    return report


def pretrained_report(root: Path) -> Path:
    """Return the folder for the reports of a policy of this package."""
    return Path("outputs", f"pretrained_{root.name}").absolute()


def edit_lines(edited: Edits | None) -> list[str]:
    """Return lines about the edits of experiment.yaml by hand, if any."""
    if edited is None:
        return ["experiment.yaml was edited by hand; which keys is not recorded"]
    return [f"experiment.yaml was edited by hand: {key} {was} -> {now}" for key, (was, now) in edited.items()]


def writable(folder: Path) -> Path:
    """Return the folder, created if missing; raise UserError if nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder with out=DIR.") from error
    return folder


def check_contract(
    experiment: Experiment, trained: str, observation_size: int | None = None, recorded: Any = None
) -> None:
    """Raise UserError for an env whose observations or actions differ from those of the training.

    Args:
        experiment: the settings of the evaluation.
        trained: hash of the policy's contract.
        observation_size: numbers of an observation in policy.json.
        recorded: the contract in policy.json, by which the message names what differs.
    """
    contract = contract_of(experiment.env, experiment.obs_contract)
    here = contract.hash
    if here != trained:
        found = differences(recorded, trained, contract)
        if found and all(each.name.endswith(ENCODER) for each in found):
            kinds = {each.name.removesuffix(ENCODER): (each.here, each.there) for each in found}
            raise UserError(
                ", ".join(f"obs_contract.encoders.{key}={kind}" for key, (kind, _) in kinds.items())
                + ": the policy was trained with "
                + ", ".join(f"{kind} for {key}" for key, (_, kind) in kinds.items())
                + "; use its encoders, or train another policy."
            )
        differing = f" ({as_text(found)})" if found else ""
        raise UserError(
            f"env={experiment.env.name} with obs_contract={experiment.obs_contract.name} has contract {here}, and the "
            f"policy was trained on {trained}{differing}: choose an env and obs_contract with equal keys, shapes, "
            "bounds and encoders."
        )
    if observation_size not in (None, contract.size):
        raise UserError(
            f"policy.json: observation_size={observation_size}, and env={experiment.env.name} has {contract.size} "
            "floats: name another checkpoint."
        )
