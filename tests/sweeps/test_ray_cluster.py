"""A Ray cluster of several nodes: a single run on it, and the launcher hydra/launcher=ray."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dreamer_exp.config.errors import UserError
from dreamer_exp.rundir.reader import read_rows
from dreamer_exp.sweeps.plan import make_plan
from tests.experiments import machine
from tests.sweeps.sweeping import WORDS, begin, only_sweep, read, run, states
from tests.sweeps.two_nodes import two_nodes
from tests.sweeps.watching import process_of, wait_for

LAUNCHER = ("-m", *WORDS, "hydra/launcher=ray")
CRASH = json.dumps({"3": "signal"})  # in the environment of the nodes: job 3 crashes


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Return the address of two nodes with one CPU each."""
    with two_nodes(TROUBLE=CRASH) as address:
        yield address


@pytest.fixture(scope="module")
def sweep(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run two jobs that need both nodes, then two that need one each, of which the last crashes."""
    folder = tmp_path_factory.mktemp("cluster")
    words = (*LAUNCHER, f"hardware.ray_address={cluster}", "hardware.num_env_runners=1,0", "run.seed=1,2")
    ended = run(folder, *words)
    return only_sweep(folder), ended


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_single_run_uses_env_runners_on_both_nodes(cluster: str, tmp_path: Path) -> None:
    code, out, err = run(tmp_path, *WORDS, f"hardware.ray_address={cluster}", "hardware.num_env_runners=2")
    assert code == 0, out + err  # each takes a CPU, and a node has one
    (root,) = (tmp_path / "outputs").iterdir()
    assert read(root / "run_summary.json")["state"] == "finished"
    assert read_rows(root / "result.jsonl")[-1]["env_steps"] >= 6 * 2 * 16


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_jobs_of_a_sweep_run_on_the_cluster_and_a_crash_fails_one(sweep: Any) -> None:
    root, (code, out, err) = sweep
    assert states(root) == {0: "finished", 1: "finished", 2: "finished", 3: "failed"}, out + err
    assert "job 3 (num_env_runners=0 seed=2) failed: killed by SIGSEGV" in out
    assert (code, err) == (1, "")


@pytest.mark.slow
@pytest.mark.end_to_end
def test_parallel_jobs_fit_the_cluster_with_their_env_runners(sweep: Any) -> None:
    spans = [(job["started_utc"], job["ended_utc"]) for job in map(read, sorted(sweep[0].glob("*/job.json")))]
    assert spans[0][1] <= spans[1][0]  # each takes two CPUs
    assert spans[1][1] <= min(spans[2][0], spans[3][0])


@pytest.mark.slow
@pytest.mark.end_to_end
def test_the_experiment_of_a_job_holds_the_address_of_the_cluster(sweep: Any, cluster: str) -> None:
    for path in sweep[0].glob("*/experiment.yaml"):
        assert f"ray_address: {cluster}" in path.read_text()


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_job_has_a_thread_for_each_of_its_cpus(sweep: Any) -> None:
    texts = [path.read_text() for path in sorted(sweep[0].glob("*/experiment.yaml"))]
    assert ["num_cpus: 2" in text for text in texts] == [True, True, False, False]  # with one env runner, with none
    assert ["num_cpus: 1" in text for text in texts] == [False, False, True, True]


@pytest.fixture(scope="module")
def ended_early(cluster: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Run three jobs, each too large to share the cluster: the first loses its Ray worker, the second gets Ctrl-C."""
    folder = tmp_path_factory.mktemp("early")
    words = ("hardware.num_cpus=1", "hardware.num_env_runners=1", "run.train_iterations=99999", "run.seed=1,2,3")
    process = begin(folder, *LAUNCHER, f"hardware.ray_address={cluster}", *words)
    process_of(wait_for(folder, "0_*/result.jsonl", process)).parent().kill()
    wait_for(folder, "1_*/result.jsonl", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return only_sweep(folder), (process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.end_to_end
def test_ctrl_c_ends_a_job_with_a_checkpoint_and_starts_no_other(ended_early: Any) -> None:
    root, (code, out, err) = ended_early
    assert code == 130, out + err
    assert [states(root)[num] for num in (1, 2)] == ["interrupted", "waiting"]
    assert len(list(root.glob("1_*/checkpoints/latest"))) == 1


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_number_of_cpus_set_by_the_user_is_kept(ended_early: Any) -> None:
    texts = [path.read_text() for path in ended_early[0].glob("*/experiment.yaml")]
    assert ["num_cpus: 1" in text for text in texts] == [True, True]  # the third was not started


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_job_lost_by_ray_is_failed(ended_early: Any) -> None:
    root, (_, out, _) = ended_early
    assert states(root)[0] == "failed"
    assert "job 0 (seed=1) failed: WorkerCrashedError: " in out


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_job_too_large_for_the_cluster_is_refused_in_one_line(cluster: str, tmp_path: Path) -> None:
    words = (f"hardware.ray_address={cluster}", "hardware.num_env_runners=2", "run.seed=1,2")
    code, _, err = run(tmp_path, *LAUNCHER, *words)
    assert code == 2
    assert err.startswith("dreamer_exp: job 0 needs 3 CPUs, 1 of them on one node, and 0 GPUs with its env runners, ")
    assert len(err.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_job_too_large_for_a_node_is_refused_in_one_line(cluster: str, tmp_path: Path) -> None:
    words = (f"hardware.ray_address={cluster}", "hardware.num_cpus=2", "hardware.num_env_runners=0", "run.seed=1,2")
    code, _, err = run(tmp_path, *LAUNCHER, *words)
    assert code == 2
    assert err.startswith("dreamer_exp: job 0 needs 2 CPUs, 2 of them on one node, and 0 GPUs with its env runners, ")


def test_the_address_of_the_cluster_is_required() -> None:
    with pytest.raises(UserError, match=r"hydra/launcher=ray: which cluster\? Set hardware\.ray_address=HOST:PORT"):
        make_plan([*LAUNCHER, "run.seed=1,2"], machine())


def test_an_unreachable_cluster_is_refused_before_anything_starts() -> None:
    with pytest.raises(UserError, match=r"hardware\.ray_address='127\.0\.0\.1:9': no Ray cluster answers there"):
        make_plan([*LAUNCHER, "hardware.ray_address=127.0.0.1:9", "run.seed=1,2"], machine())


@pytest.mark.slow
@pytest.mark.end_to_end
def test_a_cluster_with_a_token_refuses_clients_without_it_and_explains_how(tmp_path: Path) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"}
    with two_nodes(**token) as address:
        words = (*WORDS, f"hardware.ray_address={address}", "run.train_iterations=1")
        code, out, err = run(tmp_path, *words, **token)
        assert code == 0, out + err
        for launcher in ((), LAUNCHER):
            code, _, err = run(tmp_path, *launcher, *words)
            assert (code, err) == (
                2,
                f"dreamer_exp: hardware.ray_address='{address}': the Ray cluster there wants its token; `export "
                "RAY_AUTH_MODE=token` here and on its nodes, each with the ~/.ray/auth_token of the head.\n",
            )


def test_hydra_finds_the_launcher_without_importing_ray() -> None:
    code = (
        "import sys; from hydra.core.plugins import Plugins; Plugins.instance()\n"
        "print('hydra_plugins.dreamer_exp_ray' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
