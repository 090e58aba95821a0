"""The parent process of a run: ends that the run cannot report, signals, and exit codes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dreamer_exp.cli.supervisor import TWICE_S
from dreamer_exp.rundir.layout import RunDirectory
from tests.paths import CHECKOUT

SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from dreamer_exp.cli import supervisor
from dreamer_exp.rundir.processes import keep_answering, notify
from dreamer_exp.training.signals import stop_on_signals
root = Path(sys.argv[1])
# prepared
supervisor.supervise()
notify(env="env.id='A-v0'", root=str(root))
"""
WAITING = """
def at_once():
    (root / "status.json").write_text('{"state": "interrupted"}')
    print("ending", flush=True)
with stop_on_signals(lambda: print("stopping", flush=True), at_once) as stop:
    print("ready", os.getpid(), flush=True)
    while not stop():
        time.sleep(0.01)
    time.sleep(0.5)  # time for a second copy of the signal
sys.exit(stop.exit_code)
"""


def start(root: Path, body: str, prepare: str = "") -> "subprocess.Popen[str]":
    RunDirectory(root).status.write_text(json.dumps({"state": "running"}))
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.replace("# prepared\n", prepare) + body, str(root)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def run(root: Path, body: str) -> tuple[int, str, str]:
    process = start(root, body)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def status(root: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads(RunDirectory(root).status.read_text())
    return read


@pytest.mark.parametrize("code", [0, 2, 143])
def test_an_exit_code_passes(tmp_path: Path, code: int) -> None:
    RunDirectory(tmp_path).summary.write_text('{"state": "finished"}')
    assert run(tmp_path, f"print('done'); sys.exit({code})") == (code, "done\n", "")


def test_exit_code_0_needs_the_summary_of_a_finished_run(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, "sys.exit(0)")
    assert (code, err.count("\n")) == (1, 1)
    assert "run_summary.json does not say that the run has finished" in err


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("os._exit(0)", "exit code 0 without the run's end"),
        ("os._exit(7)", "exit code 7 without the run's end"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL (out of memory?)"),
        ("os.kill(os.getpid(), signal.SIGRTMAX)", f"killed by {signal.SIGRTMAX.name}"),
        ("os.kill(os.getpid(), signal.SIGRTMAX - 1)", f"killed by signal {signal.SIGRTMAX - 1}"),
    ],
)
def test_an_end_that_the_run_does_not_announce_is_a_failure_with_a_line(tmp_path: Path, body: str, how: str) -> None:
    code, _, err = run(tmp_path, body)
    line = f"{how}: env.id='A-v0' or a library ended the process, which wrote no more"
    assert (code, err) == (1, f"dreamer_exp: {line} (run: {tmp_path})\n")
    written = status(tmp_path)
    assert (written["state"], written["error"]) == ("failed", {"type": "ProcessEnded", "message": line})


def test_a_killed_run_with_rows_gets_its_page(tmp_path: Path) -> None:
    RunDirectory(tmp_path).result.write_text('{"env_steps": 1, "iteration": 1}\n')
    assert run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")[0] == 1
    assert "killed by SIGKILL" in RunDirectory(tmp_path).page.read_text()


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT"])
def test_a_crash_leaves_the_summary_of_the_rows(tmp_path: Path, name: str) -> None:
    directory = RunDirectory(tmp_path)
    directory.result.write_text('{"env_steps": 32, "iteration": 2, "updates": 5}\n')
    directory.experiment.write_text("format: 2\nfingerprint: abcd\n")
    assert run(tmp_path, f"os.kill(os.getpid(), signal.{name})")[0] == 1
    summary = json.loads(directory.summary.read_text())
    assert (summary["state"], summary["env_steps"], summary["final"]["iteration"]) == ("failed", 32, 2)
    assert summary["error"]["message"].startswith(f"killed by {name}")
    assert (summary["fingerprint"], status(tmp_path)["env_steps"]) == ("abcd", 32)


def test_a_run_that_does_not_begin_to_resume_keeps_the_summary_of_its_earlier_end(tmp_path: Path) -> None:
    summary = RunDirectory(tmp_path).summary
    summary.write_text('{"state": "finished"}')
    ended = "(root / 'status.json').write_text('{\"state\": \"finished\"}'); "
    assert run(tmp_path, f"{ended}os.kill(os.getpid(), signal.SIGSEGV)")[0] == 1
    assert json.loads(summary.read_text()) == {"state": "finished"}


def test_the_stack_of_a_crash_is_in_the_run(tmp_path: Path) -> None:
    body = """
from dreamer_exp.training.crash_trace import crash_trace
import ctypes
def step():
    ctypes.string_at(0)
with crash_trace():
    step()
"""
    code, _, err = run(tmp_path, body)
    path = RunDirectory(tmp_path).error
    assert (code, err.count("\n")) == (1, 1)
    assert f"(traceback: {path})" in err
    assert "in step" in path.read_text()


def test_an_end_after_the_death_of_another_process_names_that_one(tmp_path: Path) -> None:
    death = "Ray's raylet (process 7) has ended: killed"
    code, _, err = run(tmp_path, f"notify(died={death!r}); os._exit(1)")
    line = f"{death}; the run then ended at once and wrote no more"
    assert (code, err) == (1, f"dreamer_exp: ProcessDied: {line} (run: {tmp_path})\n")
    assert status(tmp_path)["error"] == {"type": "ProcessDied", "message": line}


BY_RAY = """
log = root / "python-core-driver.log"
log.write_text("started\\n")
notify(ray_log=str(log), ray_died="Ray's raylet (process 7) has ended: killed, out of memory, or crashed")
time.sleep(1.5)  # the parent opens the log
with open(log, "a") as file:
    file.write("connection.cc:216: " + LAST + "\\n")
log.unlink()  # with Ray's folder
os._exit(CODE)
"""
LAST_WORDS = "The connection to the plasma store is failed. Terminate the process. Status: IOError: Broken pipe"


def test_the_raylets_death_is_named_if_ray_ends_the_run_before_it_can(tmp_path: Path) -> None:
    code, _, err = run(tmp_path, BY_RAY.replace("LAST", repr(LAST_WORDS)).replace("CODE", "1"))
    line = (
        "Ray's raylet (process 7) has ended: killed, out of memory, or crashed; the run then ended at once and wrote "
        "no more"
    )
    assert (code, err) == (1, f"dreamer_exp: ProcessDied: {line} (run: {tmp_path})\n")
    written = status(tmp_path)
    assert (written["state"], written["error"]) == ("failed", {"type": "ProcessDied", "message": line})


@pytest.mark.parametrize(("last", "code"), [("Number of alive nodes:1", 1), (LAST_WORDS, 0)])
def test_another_end_of_a_run_with_ray_is_not_a_death_of_ray(tmp_path: Path, last: str, code: int) -> None:
    _, _, err = run(tmp_path, BY_RAY.replace("LAST", repr(last)).replace("CODE", str(code)))
    assert f"exit code {code} without the run's end: env.id='A-v0' or a library ended the process" in err


def test_an_end_at_once_keeps_its_code_and_status(tmp_path: Path) -> None:
    body = "(root / 'status.json').write_text('{\"state\": \"interrupted\"}'); os._exit(143)"
    assert run(tmp_path, body) == (143, "", "")
    assert status(tmp_path) == {"state": "interrupted"}


def ready(process: "subprocess.Popen[str]") -> int:
    """Wait until the run handles signals; return its process number."""
    assert process.stdout is not None
    return int(process.stdout.readline().split()[1])


def kill_as_timeout_does(pid: int, number: int) -> None:
    """Signal a process and then its group, as timeout(1) does when the time is over."""
    os.kill(pid, number)
    time.sleep(0.1)
    os.killpg(pid, number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 138)])
@pytest.mark.parametrize("send", [os.kill, os.killpg, kill_as_timeout_does])
def test_a_signal_to_the_parent_or_to_the_group_asks_the_run_to_stop_once(
    tmp_path: Path, number: signal.Signals, code: int, send: object
) -> None:
    process = start(tmp_path, WAITING)
    ready(process)
    send(process.pid, number)  # type: ignore[operator]
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "stopping\n")


def test_sigint_stops_a_run_that_a_shell_script_started_in_the_background(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited, as a shell does for `command &`
    try:
        process = start(tmp_path, WAITING)
    finally:
        signal.signal(signal.SIGINT, before)
    ready(process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "stopping\n")


def test_the_same_signal_again_ends_the_run_at_once(tmp_path: Path) -> None:
    process = start(tmp_path, WAITING.replace("0.5", "60"))
    ready(process)
    assert process.stdout is not None
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "stopping\n"
    time.sleep(TWICE_S)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "ending\n")


def test_a_signal_before_the_run_handles_any_acts_as_in_every_process(tmp_path: Path) -> None:
    body = """
print("ready", os.getpid(), flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""
    process = start(tmp_path, body)
    ready(process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "interrupted\n"
    assert process.returncode == 130


def assert_ended(*pids: int) -> None:
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.parametrize("victim", ["the process that the user started", "the watcher"])
def test_a_killed_parent_takes_the_run_and_what_its_environment_forked_with_it(tmp_path: Path, victim: str) -> None:
    body = """
import subprocess
forked = os.fork()
if not forked:
    time.sleep(600)
started = subprocess.Popen(["sleep", "600"], start_new_session=True, stdout=-3, stderr=-3)
print("ready", os.getpid(), os.getppid(), forked, started.pid, flush=True)
while True:
    time.sleep(600)
"""
    process = start(tmp_path, body)
    assert process.stdout is not None
    run_pid, watcher, *children = map(int, process.stdout.readline().split()[1:])
    os.kill(process.pid if victim != "the watcher" else watcher, signal.SIGKILL)
    process.wait(10)
    assert_ended(run_pid, watcher, *children)


NATIVE = """
import collections, itertools
print("ready", os.getpid(), flush=True)
collections.deque(itertools.repeat(None), maxlen=0)  # without end, and no handler of a signal runs meanwhile
"""


@pytest.mark.parametrize(("signals", "answer_s"), [(1, 0.2), (2, 600.0)])
def test_a_run_that_cannot_answer_signals_is_killed(tmp_path: Path, signals: int, answer_s: float) -> None:
    process = start(tmp_path, NATIVE, f"supervisor.ANSWER_S, supervisor.AGAIN_S = {answer_s}, 0.2\n")
    ready(process)
    for _ in range(signals):
        time.sleep(TWICE_S + 0.1)  # for the native code to begin, and for the second to count as another one
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    line = "no answer to SIGINT, killed: env.id='A-v0' or a library does not return"
    assert err == f"dreamer_exp: {line} (run: {tmp_path}, as of its last checkpoint)\n"
    written = status(tmp_path)
    assert (written["state"], written["error"]) == ("interrupted", {"type": "ProcessEnded", "message": line})


def test_a_run_that_answers_no_more_is_killed(tmp_path: Path) -> None:
    body = WAITING.replace('print("stopping"', 'keep_answering() or print("stopping"')
    body = body.replace(
        "time.sleep(0.5)", "import collections, itertools; collections.deque(itertools.repeat(0), maxlen=0)"
    )
    process = start(tmp_path, body, "supervisor.ANSWER_S = 0.5\n")
    ready(process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "no answer to SIGINT, killed" in err


def test_a_run_that_answered_a_signal_is_given_time(tmp_path: Path) -> None:
    body = WAITING.replace('print("stopping"', 'keep_answering() or print("stopping"').replace("0.5", "2.5")
    process = start(tmp_path, body, "supervisor.ANSWER_S = 1.5\n")
    ready(process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[0] == "stopping\n"
    assert process.returncode == 130


def test_the_run_is_known_by_the_number_of_the_process_that_the_user_started(tmp_path: Path) -> None:
    process = start(tmp_path, "from dreamer_exp.rundir.processes import own_pid; print(own_pid())")
    assert int(process.communicate(timeout=60)[0]) == process.pid


def test_processes_of_ray_and_python_that_the_run_leaves_are_ended_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "ray::Worker").symlink_to("/bin/sleep")
    server = "import time; time.sleep(600)  # from multiprocessing.forkserver import main"
    commands = [[str(tmp_path / "ray::Worker"), "600"], [sys.executable, "-c", server]]
    started = "subprocess.Popen(command, start_new_session=True, stdout=-3, stderr=-3)"
    RunDirectory(tmp_path).summary.write_text('{"state": "finished"}')
    code, out, err = run(tmp_path, f"import subprocess; print(*[{started}.pid for command in {commands}])")
    assert (code, err) == (0, "")
    assert not any(Path(f"/proc/{pid}").exists() for pid in out.split())


def test_processes_that_the_run_leaves_are_ended_and_named(tmp_path: Path) -> None:
    started = "subprocess.Popen(['sleep', '600'], start_new_session=True, stdout=-3, stderr=-3)"
    RunDirectory(tmp_path).summary.write_text('{"state": "finished"}')
    code, out, err = run(tmp_path, f"import subprocess; print({started}.pid)")
    assert (code, err) == (0, "dreamer_exp: the run left 1 process (sleep), now killed\n")
    assert not Path(f"/proc/{int(out)}").exists()
