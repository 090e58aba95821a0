"""RLlib Learner of the published algorithm: agent, optimiser and replay in one process, many updates in one call."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.env.single_agent_episode import SingleAgentEpisode
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.acting.chunks import steps_of
from dreamer_exp.algorithms.dreamerv3.agent import Agent
from dreamer_exp.algorithms.dreamerv3.backends.eager import EagerUpdate
from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import NonFiniteWatch, arrays
from dreamer_exp.algorithms.dreamerv3.backends.select import select_backend
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.observation_parts import read_parts
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer
from dreamer_exp.algorithms.dreamerv3.replay.steps import Pieces
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate
from dreamer_exp.algorithms.protocol import Backend
from dreamer_exp.algorithms.rllib.chunks import STREAM
from dreamer_exp.algorithms.rllib.extra_state import EXTRA_STATE, ExtraState

PARAMETER_GROUPS = {  # group of the optimiser: modules of the agent
    "world_model": ("encoder", "rssm", "decoder", "reward", "cont"),
    "actor": ("actor",),
    "critic": ("critic",),
}
EXTRA_STATE_0_1 = "fast_learner"  # the same in checkpoints of release 0.1
NOISE_STREAM = 4  # spawn key of the updates' noise


class AgentLearner(ExtraState, TorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """Learner with the replay: `add` episode chunks, then `learn`; batches do not leave its process.

    RLlib's `update()` is not used: it passes every batch through connectors and a metrics logger, which takes longer
    than the update itself.

    Attributes:
        replay: the buffer.
        returns: range of the imagined returns so far.
        generator: of the updates' noise.
        update_once: makes one update with a batch; returns its figures and the new states (B, T, ...).
        backend: the backend that updates use.
    """

    update_once: Callable[[Batch], tuple[dict[str, Tensor], State]]
    backend: Backend

    def build(self) -> None:
        """Build module and optimiser as RLlib does, then the replay and the update."""
        super().build()
        # RLlib 2.60 asks torch for deterministic algorithms on a CPU, which then fills empty tensors: the complete
        # replay would be resident at once, and each update would write its memory twice
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        config, device = self.config, self._device
        torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
        torch.backends.cudnn.allow_tf32 = config.precision == "tf32"  # convolutions
        torch.backends.cudnn.deterministic = True
        torch.set_num_threads(config.learner_threads)
        self.replay = LatentReplay(
            capacity=config.replay_buffer_config["capacity"],
            num_streams=max(1, config.num_env_runners) * config.num_envs_per_env_runner,
            observation_size=self.module[DEFAULT_MODULE_ID].observation_space.shape[0],
            actions=self.agent.action.size,
            size=self.agent.size,
            parts=read_parts(config.observation),
            seed=config.seed,
            device=device if config.replay_device == "cuda" else "cpu",
            target=device,
        )
        self.returns = ReturnRange(torch.zeros((), device=device), torch.zeros((), device=device))
        self.generator = torch.Generator(device).manual_seed(noise_seed(config.seed))
        self._make_update()
        self._reward_before: dict[int, float] = {}

    @property
    def agent(self) -> Agent:
        """The network, complete."""
        agent: Agent = self.module[DEFAULT_MODULE_ID].unwrapped().agent
        return agent

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register LaProp with a learning rate for each group; RLlib then checkpoints its state."""
        agent = self.agent
        groups = [
            {
                "name": part,
                "params": [parameter for name in names for parameter in getattr(agent, name).parameters()],
                "lr": getattr(self.config, f"{part}_lr"),
            }
            for part, names in PARAMETER_GROUPS.items()
        ]
        config = self.config
        decay = (config.lr_decay_start, config.lr_decay_end)
        optimizer = LaProp(groups, clip=config.adaptive_grad_clip, warmup=config.lr_warmup, decay=decay)
        parameters = [parameter for group in groups for parameter in group["params"]]
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters)

    def add(self, chunks: list[SingleAgentEpisode]) -> int:
        """Add episode chunks to the replay in this order; return the number of steps now held."""
        return self.insert(self.collect(chunks))

    def collect(self, chunks: list[SingleAgentEpisode]) -> Pieces | None:
        """Return the replay's steps of episode chunks for `insert`, which needs less time than `add`.

        Chunks have to be inserted in the order in which they were collected. Another thread may collect during `learn`.
        """
        envs, pieces = self.config.num_envs_per_env_runner, []
        for chunk in chunks:
            worker, env = chunk.custom_data[STREAM]
            stream = max(0, worker - 1) * envs + env
            pieces.append((stream, steps_of(chunk, self.agent.action, self._reward_before.get(stream, 0.0))))
            self._reward_before[stream] = float(chunk.get_rewards(-1))
        return self.replay.collect(pieces) if pieces else None

    def insert(self, pieces: Pieces | None) -> int:
        """Add collected steps to the replay; return the number of steps now held."""
        if pieces is not None:
            self.replay.add_all(pieces)
        return len(self.replay)

    def acting_weights(self) -> Transfer:
        """Return a copy of what acting needs of the weights in host memory, by name, without waiting for a GPU.

        It has the weights after the updates so far, whatever updates follow.
        """
        module, cpu = self.module[DEFAULT_MODULE_ID].unwrapped(), torch.device("cpu")
        learner_only = tuple(f"{part}." for part in module.get_non_inference_attributes())
        weights = {name: value for name, value in module.state_dict().items() if not name.startswith(learner_only)}
        if self._device == cpu:
            weights = {name: value.clone() for name, value in weights.items()}
        return Transfer(weights, cpu)

    def ready(self) -> bool:
        """Return whether the replay has enough steps for a batch."""
        return self.replay.ready(self.config.batch_size_B, self.config.batch_length_T)

    def learn(self, updates: int) -> tuple[dict[str, float], float] | NonFiniteUpdate:
        """Make this many updates; return the sums of their figures and the duration in seconds.

        Sums are in float64, so that they do not depend on how an iteration's updates are distributed over calls.

        If a figure is not finite, return the first such update instead, for the caller to raise: RLlib 2.60 discards a
        remote learner whose call raises. On a CPU it is the last update made, and it has changed nothing. On a GPU it
        is found after all updates; weights, latents and later updates are affected.
        """
        started = time.perf_counter()
        on_cpu, sums = self._device.type == "cpu", torch.zeros((), device=self._device)
        watch = NonFiniteWatch(self._device, latch=not on_cpu)
        for _ in range(updates):
            before = self.get_extra_state() if on_cpu else {}
            batch, places = self.replay.sample(self.config.batch_size_B, self.config.batch_length_T)
            named, states = self.update_once(batch)
            figures = torch.stack(list(named.values()))
            watch.check(figures, batch)
            if on_cpu and watch.first >= 0:
                break
            self.replay.write_back(places, states)
            sums = sums + figures.double()
        # the only synchronisation with a GPU
        *totals, first = torch.cat([sums.expand(len(named)), watch.first[None]]).tolist()
        if first >= 0:
            return self._diverged(list(named), watch, 0 if on_cpu else updates - int(first), before)
        return dict(zip(named, totals, strict=True)), time.perf_counter() - started

    @property
    def updates_made(self) -> int:
        """Number of updates since the run began, across checkpoints; reading it synchronises with a GPU."""
        state = self.get_optimizer().state.values()
        return int(next(iter(state))["step"]) if state else 0

    def _diverged(self, names: list[str], watch: NonFiniteWatch, since: int, before: dict[str, Any]) -> NonFiniteUpdate:
        """Return the update that was not finite.

        Args:
            names: of the figures.
            watch: its figures and batch are those of the update.
            since: steps of the optimiser since that update.
            before: extra state before the update, if known; it is restored.
        """
        values, batch = watch.figures_and_batch()
        if before:
            self.set_extra_state(before)
        figures = dict(zip(names, values, strict=True))
        return NonFiniteUpdate(self.updates_made - since + 1, figures, arrays(batch), before, untouched=bool(before))

    def compute_loss_for_module(self, **kwargs: Any) -> Any:
        """Raise NotImplementedError: RLlib's own update is not used."""
        raise NotImplementedError("AgentLearner updates through learn(), not through RLlib's update().")

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore a state, then build the update again: a captured one refers to the old tensors."""
        super().set_state(state)
        if extra := state.get(EXTRA_STATE, state.get(EXTRA_STATE_0_1)):
            self.set_extra_state(extra)
        self._make_update()

    def get_extra_state(self) -> dict[str, Any]:
        """Return what an update depends on apart from weights, optimiser and replay: return range and generator."""
        return {
            "return_low": float(self.returns.low),
            "return_high": float(self.returns.high),
            "noise": self.generator.get_state().numpy(),
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_extra_state` returned."""
        self.returns.low.fill_(float(state["return_low"]))
        self.returns.high.fill_(float(state["return_high"]))
        self.generator.set_state(torch.as_tensor(state["noise"]))

    def _make_update(self) -> None:
        """Set `update_once` and `backend`."""
        if hasattr(self, "update_once"):
            del self.update_once  # frees its buffers before the new one allocates as many
        config = self.config
        weights = config.decoder_weights
        losses = LossConfig(
            horizon_H=config.horizon_H,
            gamma=config.gamma,
            gae_lambda=config.gae_lambda,
            entropy_scale=config.entropy_scale,
            return_rate=1.0 - config.return_normalization_decay,
            train_actor=config.train_actor,
            train_critic=config.train_critic,
            loss_scales=config.loss_scales,
            decoder_weights=None if weights is None else torch.tensor(weights, device=self._device),
        )
        update = EagerUpdate(
            agent=self.agent,
            optimizer=self.get_optimizer(),
            returns=self.returns,
            config=losses,
            generator=self.generator,
            bfloat16=config.precision == "bfloat16",
        )
        shape = config.batch_size_B, config.batch_length_T
        selected = select_backend(update, config.backend, config.precision, shape, config.why_not_fused)
        self.update_once = selected.update
        self.backend = Backend(selected.name, config.precision, config.backend, selected.why)


def noise_seed(run_seed: int) -> int:
    """Return the seed of the updates' noise, independent of the run's other random streams."""
    return int(np.random.SeedSequence(run_seed, spawn_key=(NOISE_STREAM,)).generate_state(1)[0])
