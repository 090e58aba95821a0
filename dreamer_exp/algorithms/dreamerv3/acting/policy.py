"""Policies that act with an agent in N environments at once and keep their model states."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting.packed import PackedAgent
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.algorithms.rows import RowNoise

CALLS_BEFORE_CAPTURE = 3


class AgentPolicy:
    """Recurrent policy: draws actions if `explore`, otherwise takes the mode.

    The posterior latent is drawn in either case, from the policy's own generator: the same seed gives the same actions,
    and torch's global generator, which training uses, is not touched. The agent is not copied: weights loaded into it
    take effect at the next step.

    Args:
        agent: the network; decoder, heads and critics may be missing.
        num_envs: N.
        seed: of the noise.
        explore: whether to draw actions; can be changed between steps.
        packed: whether to compute steps on a CPU from packed weights; they differ from those of the layers by rounding.
    """

    def __init__(self, agent: Agent, num_envs: int, seed: int, explore: bool = False, *, packed: bool = True) -> None:
        self.explore = explore
        self._agent = agent
        weight = agent.rssm.posterior_in.weight
        self._generator = torch.Generator(weight.device).manual_seed(seed)
        self._packed = PackedAgent(agent) if packed and weight.device.type == "cpu" else None
        self._state = agent.rssm.initial(num_envs)
        self._latent_kept: Tensor | None = weight.new_zeros(num_envs, 1)  # 0 where it is zero; None for ones
        self._action = weight.new_zeros(num_envs, agent.action.size)
        self._classes = torch.zeros(num_envs, agent.size.stoch, dtype=torch.long, device=weight.device)

    @torch.inference_mode()
    def act(self, observations: NDArray[np.float32], is_first: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return actions (N, A) in [-1, 1] for Box action spaces, or integers (N,) for Discrete ones.

        Args:
            observations: (N, O).
            is_first: where an episode begins (N,): the state before it is reset. None resets nothing; the first call
                starts from initial states anyway.
        """
        agent = self._agent
        if is_first is not None and is_first.any():
            self._reset(is_first)
        self._step(torch.as_tensor(observations), self._uniform(len(observations), agent.size.stoch))
        if agent.action.discrete:
            indices: NDArray[Any] = self._action.argmax(-1).cpu().numpy()
            return indices
        return self.action

    @property
    def action(self) -> NDArray[np.float32]:
        """The last actions (N, A) as the world model reads them: one-hot, or clipped to [-1, 1].

        The published code stores Box actions as drawn and clips them in the environment. Here the replay holds what the
        environment received. The difference is only in actions beyond [-1, 1], which the world model scales back to it
        (`Rssm.action_units`); nothing else reads replayed actions.
        """
        actions: NDArray[np.float32] = self._action.cpu().numpy().copy()  # the next step may write the same tensor
        return actions

    @property
    def deter(self) -> NDArray[np.float16]:
        """The recurrent state (N, D) after the last observations."""
        deter: NDArray[np.float16] = self._state.deter.half().cpu().numpy()
        return deter

    @property
    def stoch(self) -> NDArray[np.uint8]:
        """The classes of the latent (N, S) after the last observations."""
        classes: NDArray[np.uint8] = self._classes.byte().cpu().numpy()
        return classes

    def _step(self, observations: Tensor, noise: Tensor) -> None:
        """Move state, classes and action one step on.

        Args:
            observations: (N, O) on the CPU.
            noise: of the latent (N, S).
        """
        self._state, self._classes, self._action = self._next(observations.to(self._generator.device), noise)

    def _next(self, observations: Tensor, noise: Tensor) -> tuple[State, Tensor, Tensor]:
        """Return the next state (N, ...), its classes (N, S) and the actions (N, A)."""
        agent = self._agent
        if self._packed is None:
            tokens = agent.encoder(observations)
            state, classes = agent.rssm.observe_step(self._state, self._action, tokens, noise)
            output = agent.actor(state.feature)
        else:  # the classes take the place of the state's one-hot latent
            deter, classes, output = self._packed(
                self._state.deter, self._classes, self._latent_kept, self._action, observations, noise
            )
            state, self._latent_kept = State(deter, self._state.stoch), None
        # (N, A)
        action = agent.action.choose(output, self._action_noise())
        return state, classes, action if agent.action.discrete else action.clamp(-1.0, 1.0)

    def _reset(self, is_first: NDArray[np.bool_]) -> None:
        # (N, 1)
        keep = torch.as_tensor(~is_first, device=self._generator.device)[:, None]
        self._state = self._state.masked(keep)
        self._action = self._action * keep
        self._latent_kept = keep.float() if self._latent_kept is None else self._latent_kept * keep

    def _action_noise(self) -> Tensor | None:
        """Return the noise (N, noise) that `ActionKind.sample` takes, or None for the mode."""
        if not self.explore:
            return None
        kind, rows = self._agent.action, len(self._action)
        if kind.discrete:
            return self._uniform(rows, kind.noise)
        return torch.randn(rows, kind.noise, generator=self._generator, device=self._generator.device)

    def _uniform(self, rows: int, columns: int) -> Tensor:
        return torch.rand(rows, columns, generator=self._generator, device=self._generator.device)


class EpisodePolicy(AgentPolicy):
    """Deterministic policy of N episodes that begin at different times, each with the noise of its own seed.

    An episode's actions depend on its seed and observations alone: no layer mixes rows, and the shapes of all products
    are fixed by N. On one device, they are the same bit for bit for equal N, whatever the row and the other rows.

    On a GPU, a step is one CUDA graph: the launches of its kernels would take longer than the kernels.

    Args:
        agent: the network; decoder, heads and critics may be missing. It is moved to the device.
        num_envs: N.
        device: "cpu" or "cuda"; None for that of the agent.
    """

    def __init__(self, agent: Agent, num_envs: int, device: str | None = None) -> None:
        # computed by the layers, as `policy.load` and exported files do
        super().__init__(agent if device is None else agent.to(device), num_envs, seed=0, packed=False)
        self._noise = RowNoise(num_envs)
        weight = agent.rssm.posterior_in.weight
        self._inputs = weight.new_zeros(num_envs, agent.observation_size), weight.new_zeros(num_envs, agent.size.stoch)
        self._replay = self._captured() if weight.is_cuda else self._step_in_place

    @torch.inference_mode()
    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row: initial state, and the noise of this seed."""
        self._noise.begin(row, seed)
        for part in (*self._state, self._action):
            part[row] = 0.0  # assigned, because a product would keep NaN

    def _step(self, observations: Tensor, noise: Tensor) -> None:
        for held, given in zip(self._inputs, (observations, noise), strict=True):
            held.copy_(given)
        self._replay()

    def _step_in_place(self) -> None:
        """Step with `_inputs`; all results are written into the tensors of before, as a graph needs it."""
        state, classes, action = self._next(*self._inputs)
        held = (*self._state, self._classes, self._action)
        for before, after in zip(held, (*state, classes, action), strict=True):
            before.copy_(after)

    @torch.inference_mode()
    def _captured(self) -> Callable[[], None]:
        """Return `_step_in_place` as a CUDA graph; steps before the capture create the libraries' handles."""
        stream = torch.cuda.Stream(self._generator.device)
        stream.wait_stream(torch.cuda.current_stream(self._generator.device))
        with torch.cuda.stream(stream):
            for _ in range(CALLS_BEFORE_CAPTURE):
                self._next(*self._inputs)
        torch.cuda.synchronize(self._generator.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            self._step_in_place()
        replay: Callable[[], None] = graph.replay
        return replay

    def _uniform(self, rows: int, columns: int) -> Tensor:
        return self._noise.uniform(columns)
