"""The boundary to an environment's own code: what it raises, returns and changes."""

import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from dreamer_exp.config.errors import Interrupt, UserError, typed_line
from dreamer_exp.config.schema import ObsContractConfig
from dreamer_exp.envs import notices
from dreamer_exp.envs.boundary import BoundaryEnv, EnvironmentFailed, make_behind_boundary
from dreamer_exp.envs.contract import ContractEnv, ContractError, Fault
from dreamer_exp.envs.fault_guard import FaultGuard
from dreamer_exp.envs.gym.config import GymConfig
from dreamer_exp.envs.make import contract_of, make_env, make_raw_env, spaces_of

ACTION = np.zeros(1, np.float32)
VECTOR = ObsContractConfig("vector")


class Scripted(gymnasium.Env[Any, Any]):
    """Calls `act` in the method of that name; its episodes have two steps."""

    observation_space = Box(-1.0, 1.0, (2,), np.float32)
    action_space = Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, where: str = "", act: Callable[[], Any] = lambda: None, **returned: Any) -> None:
        self.where, self.act, self.returned = where, act, returned
        self.closed = 0
        self._act("init")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        self._act("reset")
        return np.zeros(2, np.float32), {"outcome": "success"}

    def step(self, action: Any) -> Any:
        self.steps += 1
        self._act("step")
        values = {"reward": 1.0, "terminated": False, "truncated": self.steps == 2, "info": {}, **self.returned}
        return np.zeros(2, np.float32), *values.values()

    def close(self) -> None:
        self.closed += 1
        self._act("close")

    def _act(self, method: str) -> None:
        if method == self.where:
            self.act()


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_logged", set())


def behind(env: Scripted) -> BoundaryEnv:
    return make_behind_boundary(lambda: env, "env.id='Scripted-v0'")


def raising(error: BaseException) -> Callable[[], Any]:
    def act() -> None:
        raise error

    return act


def last_info(env: gymnasium.Env[Any, Any]) -> dict[str, Any]:
    """Return the info at the end of an episode."""
    env.reset()
    env.step(ACTION)
    return env.step(ACTION)[-1]


# Errors


@pytest.mark.parametrize("method", ["reset", "step"])
def test_an_exception_keeps_its_type_and_names_method_and_environment(method: str) -> None:
    env = behind(Scripted(method, raising(ZeroDivisionError("no wheels"))))
    with pytest.raises(ZeroDivisionError) as raised:
        last_info(env)
    line = f"ZeroDivisionError: no wheels (raised by {method}() of env.id='Scripted-v0')"
    assert typed_line(raised.value) == line


@pytest.mark.parametrize("code", [0, 3, None])
def test_an_exit_of_an_environment_is_its_failure(code: int | None) -> None:
    env = behind(Scripted("step", lambda: sys.exit(code)))
    with pytest.raises(EnvironmentFailed, match=rf"^sys\.exit\({code}\) \(raised by step\(\) of env\.id="):
        last_info(env)


@pytest.fixture
def handled_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, lambda *_: None)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("handled_interrupts")
def test_an_interrupt_that_no_signal_can_have_raised_is_a_failure() -> None:
    with pytest.raises(EnvironmentFailed, match="KeyboardInterrupt"):
        last_info(behind(Scripted("step", raising(KeyboardInterrupt()))))


@pytest.mark.usefixtures("handled_interrupts")
def test_an_interruption_of_our_own_passes() -> None:
    with pytest.raises(Interrupt):
        last_info(behind(Scripted("step", raising(Interrupt()))))
    with pytest.raises(Interrupt):
        make_behind_boundary(raising(Interrupt()), "env.id='Scripted-v0'")


@pytest.mark.usefixtures("handled_interrupts")
def test_a_keyboard_interrupt_while_it_is_made_is_a_failure() -> None:
    with pytest.raises(EnvironmentFailed, match=r"^env.id='Scripted-v0' cannot be made: KeyboardInterrupt"):
        make_behind_boundary(raising(KeyboardInterrupt()), "env.id='Scripted-v0'")


def test_programs_that_an_environment_starts_keep_ctrl_c() -> None:
    script = """
import signal, subprocess, sys
from dreamer_exp.envs.boundary import ignore_ctrl_c
ignore_ctrl_c()
signal.raise_signal(signal.SIGINT)
print(subprocess.run([sys.executable, "-c", "import signal; signal.raise_signal(signal.SIGINT)"], stderr=-3).returncode)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == f"{-signal.SIGINT}\n"


@pytest.fixture
def pythons_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("pythons_interrupts")
def test_ctrl_c_passes() -> None:
    with pytest.raises(KeyboardInterrupt):
        last_info(behind(Scripted("step", raising(KeyboardInterrupt()))))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (
            FileNotFoundError(2, "No such file", "robot.xml"),
            r"FileNotFoundError: \[Errno 2\] No such file: 'robot.xml'",
        ),
        (KeyError("license"), "KeyError: 'license'"),
        (RuntimeError("no display:\nset DISPLAY"), "RuntimeError: no display: set DISPLAY"),
        (SystemExit(3), r"sys.exit\(3\)"),
    ],
)
def test_an_environment_that_fails_while_it_is_made_is_named_with_the_cause(error: BaseException, cause: str) -> None:
    with pytest.raises(EnvironmentFailed, match=f"^env.id='Scripted-v0' cannot be made: {cause}$"):
        make_behind_boundary(lambda: Scripted("init", raising(error)), "env.id='Scripted-v0'")


@pytest.mark.parametrize("name", ["observation_space", "action_space"])
def test_an_environment_without_spaces_is_refused(name: str) -> None:
    env = Scripted()
    setattr(env, name, None)
    with pytest.raises(UserError, match=f"^env.id='Scripted-v0' has no {name}"):
        behind(env)


def test_a_module_with_a_syntax_error_is_a_failure_of_the_environment(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "half_written_env.py").write_text("class Half(")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EnvironmentFailed, match=r"^env.id='half_written_env:Half-v0' cannot be made: SyntaxError: "):
        spaces_of(GymConfig(id="half_written_env:Half-v0"))


# Closing


def test_what_close_raises_is_logged_and_costs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    env = behind(Scripted("close", raising(RuntimeError("the process has ended"))))
    env.close()
    (line,) = caplog.messages
    assert line == "env.id='Scripted-v0': close() raised RuntimeError: the process has ended; ignored"


def test_an_exit_in_close_costs_nothing() -> None:
    behind(Scripted("close", lambda: sys.exit(0))).close()


def test_an_environment_is_closed_once() -> None:
    inner = Scripted()
    env = behind(inner)
    env.close()
    env.close()
    assert inner.closed == 1


# What a step returns


@pytest.mark.parametrize(
    ("reward", "value"),
    [(2, 2.0), (True, 1.0), (np.float32(0.5), 0.5), (np.array(2.0), 2.0), (np.array([[3.0]]), 3.0),
     (torch.tensor([4.0]), 4.0)],
)  # fmt: skip
def test_a_reward_of_one_number_becomes_a_float(reward: object, value: float) -> None:
    env = behind(Scripted(reward=reward))
    env.reset()
    read = env.step(ACTION)[1]
    assert (read, type(read)) == (value, float)


@pytest.mark.parametrize(
    "reward",
    [None, [1.0], "1.0", {}, 1j, np.array([1.0, 2.0]), np.array([]), torch.ones(2), float("nan"), float("-inf"), 1e39,
     -1e300, 10**400],
)  # fmt: skip
def test_another_reward_is_a_fault_that_ends_the_episode(reward: object) -> None:
    env = FaultGuard(ContractEnv(behind(Scripted(reward=reward))), max_faults=3)
    env.reset()
    _, returned, terminated, truncated, info = env.step(ACTION)
    assert (returned, terminated, truncated, info["outcome"]) == (0.0, False, True, "fault")
    assert info["fault"].startswith("reward is ")


def test_a_fault_names_a_reward_beyond_float32() -> None:
    env = behind(Scripted(reward=1e39))
    env.reset()
    with pytest.raises(Fault, match=r"reward is 1e\+39; .*float32 can hold, up to 3\.4e\+38"):
        env.step(ACTION)


def test_flags_of_numpy_become_bools() -> None:
    env = behind(Scripted(terminated=np.array([True]), truncated=np.bool_(False)))
    env.reset()
    _, _, terminated, truncated, _ = env.step(ACTION)
    assert terminated is True
    assert truncated is False


def test_a_flag_that_is_no_bool_is_refused() -> None:
    env = behind(Scripted(terminated=np.array([True, False])))
    env.reset()
    with pytest.raises(ContractError, match=r"^terminated is array\(\[ True, False\]\); the env must return a bool"):
        env.step(ACTION)


# Info


def test_info_is_empty_until_the_episode_ends() -> None:
    env = behind(Scripted(info={"outcome": "success", "frames": [1, 2]}))
    assert env.reset()[1] == {}
    assert env.step(ACTION)[-1] == {}
    assert env.step(ACTION)[-1] == {"outcome": "success"}


def test_ignored_values_are_reported_with_the_name_of_the_environment() -> None:
    (notice,) = last_info(behind(Scripted(info={"time_s": "3 s"})))["notices"]
    assert notice.line.startswith("""env.id='Scripted-v0': info["time_s"] is ignored: it is '3 s', not a finite""")


def test_a_notice_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    env = behind(Scripted(info={"outcome": 5}))
    for _ in range(3):
        notices.log_notices(last_info(env)["notices"])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("info", [None, "done", {"faults": 9, "fault": "mine", "notices": 3, "outcome": "fault"}])
def test_infos_of_an_environment_cannot_be_taken_for_the_guards(info: object) -> None:
    env = FaultGuard(ContractEnv(behind(Scripted(info=info))), max_faults=3)
    assert set(last_info(env)) <= {"notices"}


# Torch


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "default dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "default device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "grad mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(not torch.are_deterministic_algorithms_enabled()),
        torch.are_deterministic_algorithms_enabled,
    ),
    "anomaly detection": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "matmul precision": (lambda: torch.set_float32_matmul_precision("high"), torch.get_float32_matmul_precision),
    "number of threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), torch.get_num_threads),
    "seed": (lambda: torch.manual_seed(1), lambda: torch.get_rng_state().tolist()),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("method", ["reset", "step"])
def test_a_changed_setting_of_torch_is_set_back_and_named(name: str, method: str) -> None:
    change, read = CHANGES[name]
    before = read()
    (notice,) = last_info(behind(Scripted(method, change)))["notices"][:1]
    assert read() == before
    assert notice.line.startswith(f"env.id='Scripted-v0': {method}() changed torch's {name} from ")


def test_a_setting_that_an_environment_changes_while_it_is_made_is_named() -> None:
    env = make_behind_boundary(lambda: Scripted("init", CHANGES["default dtype"][0]), "env.id='Scripted-v0'")
    assert torch.get_default_dtype() is torch.float32
    assert "making it changed torch's default dtype" in last_info(env)["notices"][0].line


def test_drawing_from_torchs_generator_is_no_change() -> None:
    before = torch.get_rng_state()
    assert last_info(behind(Scripted("step", lambda: torch.rand(3)))) == {}
    assert not torch.equal(before, torch.get_rng_state())


# Environments of a run


@pytest.mark.parametrize("make", [make_raw_env, lambda env: make_env(env, VECTOR)])
def test_every_environment_of_a_run_is_behind_the_boundary(make: Callable[[GymConfig], Any]) -> None:
    env = make(GymConfig())
    layers = [env]
    while isinstance(layers[-1], gymnasium.Wrapper):
        layers.append(layers[-1].env)
    assert sum(isinstance(layer, BoundaryEnv) for layer in layers) == 1


@pytest.mark.parametrize("space", ["observation_space", "action_space"])
def test_a_space_of_size_0_is_refused_by_name(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, space, Box(-1.0, 1.0, (0,), np.float32))
    gymnasium.register(f"Empty-{space}-v0", Scripted)
    with pytest.raises(UserError, match=rf"^env.id='Empty-{space}-v0': the {space[:-6]} space .*which holds no number"):
        contract_of(GymConfig(id=f"Empty-{space}-v0"), VECTOR)


def test_the_spaces_of_an_environment_that_cannot_be_closed_are_known(caplog: pytest.LogCaptureFixture) -> None:
    gymnasium.register("Unclosable-v0", lambda: Scripted("close", raising(OSError("closed"))))
    with caplog.at_level(logging.WARNING):
        assert spaces_of(GymConfig(id="Unclosable-v0"))[1].shape == (1,)
    assert "env.id='Unclosable-v0': close() raised OSError: closed" in caplog.text
