"""A death of a process that a run needs."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from dreamer_exp.algorithms.rllib import process_watch
from dreamer_exp.algorithms.rllib.process_watch import NoAnswer, ProcessDied, ProcessWatch
from dreamer_exp.envs.boundary import DoesNotReturn, noted


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as started:
        yield started
        started.kill()


@pytest.fixture
def watch(process: subprocess.Popen[bytes]) -> Iterator[ProcessWatch]:
    made = ProcessWatch()
    made.add([(process.pid, "env runner 2")])
    made.start()
    yield made
    made.stop()


def test_a_living_process_passes(watch: ProcessWatch) -> None:
    watch.check()
    with watch.waiting():
        pass


def test_a_death_is_named(watch: ProcessWatch, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    with pytest.raises(ProcessDied, match=rf"^env runner 2 \(process {process.pid}\) has ended: killed"):
        watch.check_soon()
    assert watch.has_death()


def assert_interrupted(wait: Callable[[], None]) -> None:
    """Check that a wait of a minute ends at once with ProcessDied."""
    begun = time.monotonic()
    with pytest.raises(ProcessDied):
        wait()
    assert time.monotonic() - begun < 10


def test_a_death_interrupts_what_waits_for_it(watch: ProcessWatch, process: subprocess.Popen[bytes]) -> None:
    def wait() -> None:
        with watch.waiting():
            process.kill()
            time.sleep(60)

    assert_interrupted(wait)


def test_a_stop_interrupts_what_waits_too_long_for_env_runners(
    watch: ProcessWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_watch, "PATIENCE_S", 0.5)
    watch.should_stop = lambda: True
    with watch.waiting(patient=True):
        time.sleep(1.0)
    assert not watch.is_broken
    with pytest.raises(NoAnswer), watch.waiting():
        time.sleep(60)
    assert watch.is_broken


def never_return() -> None:
    while True:
        pass


def test_a_stop_interrupts_an_environment_that_does_not_return(
    watch: ProcessWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_watch, "PATIENCE_S", 0.5)
    watch.should_stop = lambda: True
    time.sleep(1.0)  # anything else may last
    with pytest.raises(DoesNotReturn, match=r"^step\(\) of A-v0 did not return"), noted("step() of A-v0"):
        never_return()
    assert watch.is_broken


def test_a_death_before_the_wait_is_seen(watch: ProcessWatch, process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    with pytest.raises(ProcessDied), watch.waiting():
        raise AssertionError("not reached")


def test_an_error_that_a_death_causes_is_replaced_by_its_name(
    watch: ProcessWatch, process: subprocess.Popen[bytes]
) -> None:
    def fail() -> None:
        with watch.waiting():
            process.kill()
            raise ConnectionError("the actor died")

    with pytest.raises(ProcessDied):
        fail()


def test_another_error_passes() -> None:
    with pytest.raises(ConnectionError), ProcessWatch().waiting():
        raise ConnectionError


def test_a_wait_of_another_thread_ends_no_wait_of_the_main_thread(
    watch: ProcessWatch, process: subprocess.Popen[bytes]
) -> None:
    def wait_shortly() -> None:
        with watch.waiting():
            pass

    def wait() -> None:
        with watch.waiting():
            other = threading.Thread(target=wait_shortly)
            other.start()
            other.join()
            process.kill()
            time.sleep(60)

    assert_interrupted(wait)


def test_a_wait_within_a_wait_leaves_it_watched(watch: ProcessWatch, process: subprocess.Popen[bytes]) -> None:
    def wait() -> None:
        with watch.waiting():
            with watch.waiting():
                pass
            process.kill()
            time.sleep(60)

    assert_interrupted(wait)


def test_a_process_that_is_about_to_end_is_no_death(watch: ProcessWatch, process: subprocess.Popen[bytes]) -> None:
    watch.remove([(process.pid, "env runner 2")])
    process.kill()
    process.wait()
    watch.check()
