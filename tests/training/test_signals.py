"""Signals that stop a run."""

import os
import signal
import subprocess
import sys

import pytest

from dreamer_exp.training.signals import stop_on_signals


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGUSR1, 138), (signal.SIGUSR2, 140)],
)
def test_the_first_signal_asks_to_stop(number: signal.Signals, code: int) -> None:
    with stop_on_signals(lambda: None, lambda: None) as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.exit_code == code


def test_slurms_sigterm_after_its_warning_does_not_interrupt_the_checkpoint() -> None:
    with stop_on_signals(lambda: None, lambda: None) as stop:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 138


def test_nohup_keeps_ignoring_the_end_of_the_terminal() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(lambda: None, lambda: None) as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_previous_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(lambda: None, lambda: None):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_same_signal_again_ends_the_process_at_once() -> None:
    script = """
import os, signal, time
from dreamer_exp.training.signals import stop_on_signals
with stop_on_signals(lambda: print("stopping", flush=True), lambda: print("ending", flush=True)) as stop:
    try:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("never printed")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (130, "stopping\nending\n")


@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_signal_before_the_run_ends_the_command_by_an_exception(number: str, code: int) -> None:
    script = f"""
import os, signal
from dreamer_exp.cli.errors import run_command
from dreamer_exp.training.signals import raise_on_signals
def command(words):
    raise_on_signals()
    try:
        os.kill(os.getpid(), signal.{number})
    finally:
        print("cleaned up")
run_command(command)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, "cleaned up\n", "")


@pytest.mark.parametrize("prepare", ["stack.enter_context(stop_on_signals(called, called))", "raise_on_signals()"])
def test_a_process_that_an_environment_forks_ends_at_sigterm_and_ignores_ctrl_c(prepare: str) -> None:
    script = f"""
import os, signal, time
from contextlib import ExitStack
from dreamer_exp.training.signals import raise_on_signals, stop_on_signals
def called():
    print("called", flush=True)
with ExitStack() as stack:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    {prepare}
    child = os.fork()
    if not child:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"{-signal.SIGTERM}\n", "")


def test_a_system_without_realtime_signals_forwards_none() -> None:
    code = "import signal; del signal.SIGRTMIN; from dreamer_exp.training.signals import FORWARDED; print(FORWARDED)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "{}\n"
