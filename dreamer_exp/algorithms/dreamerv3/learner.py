"""RLlib's Learner around agent, optimiser, replay and update: many updates in one call, figures read once a call."""

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
from dreamer_exp.algorithms.dreamerv3.backends.eager import Update
from dreamer_exp.algorithms.dreamerv3.backends.first_nonfinite import FirstBroken, arrays
from dreamer_exp.algorithms.dreamerv3.backends.select import select_backend
from dreamer_exp.algorithms.dreamerv3.losses import Batch, LossConfig, ReturnRange
from dreamer_exp.algorithms.dreamerv3.optimizer import LaProp
from dreamer_exp.algorithms.dreamerv3.replay.buffer import LatentReplay
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.algorithms.nonfinite import NonFiniteUpdate

PARTS = {  # parameter group: its modules
    "world_model": ("encoder", "rssm", "decoder", "reward", "cont"),
    "actor": ("actor",),
    "critic": ("critic",),
}
OWN_STATE = "fast_learner"
NOISE_STREAM = 4  # spawn key of the updates' noise


class AgentLearner(TorchLearner):  # type: ignore[misc]  # RLlib is untyped
    """Holds the replay too, so that batches never travel: `remember` what was sampled, then `learn`.

    It bends RLlib in one place: RLlib's `update()` carries every batch through connectors and a metrics logger, which
    takes longer than the update itself, so it is not used.
    """

    update_once: Callable[[Batch], tuple[dict[str, Tensor], State]]

    def build(self) -> None:
        """Module and optimiser as RLlib builds them, then replay and update."""
        super().build()
        # RLlib 2.60 seeds a CPU build by asking torch for deterministic algorithms, which also fills empty tensors: the
        # whole replay would be resident at once, and each update write all its memory twice
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        config, device = self.config, self._device
        torch.backends.cuda.matmul.allow_tf32 = config.precision == "tf32"
        torch.set_num_threads(config.learner_threads)
        self.replay = LatentReplay(
            capacity=config.replay_buffer_config["capacity"],
            num_streams=max(1, config.num_env_runners) * config.num_envs_per_env_runner,
            observation_size=self.module[DEFAULT_MODULE_ID].observation_space.shape[0],
            actions=self.agent.action.size,
            size=self.agent.size,
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
        """The network."""
        agent: Agent = self.module[DEFAULT_MODULE_ID].unwrapped().agent
        return agent

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """LaProp over three groups, each with its learning rate; registered, so that RLlib checkpoints its state."""
        agent = self.agent
        groups = [
            {
                "name": part,
                "params": [parameter for name in names for parameter in getattr(agent, name).parameters()],
                "lr": getattr(self.config, f"{part}_lr"),
            }
            for part, names in PARTS.items()
        ]
        optimizer = LaProp(groups, clip=self.config.adaptive_grad_clip, warmup=self.config.lr_warmup)
        parameters = [parameter for group in groups for parameter in group["params"]]
        self.register_optimizer(module_id=module_id, optimizer=optimizer, params=parameters)

    def remember(self, chunks: list[SingleAgentEpisode]) -> int:
        """Puts episode chunks into the replay, in their order; the steps now held."""
        envs = self.config.num_envs_per_env_runner
        for chunk in chunks:
            worker, env = chunk.custom_data["stream"]
            stream = max(0, worker - 1) * envs + env
            self.replay.add(stream, steps_of(chunk, self.agent.action, self._reward_before.get(stream, 0.0)))
            self._reward_before[stream] = float(chunk.get_rewards(-1))
        return len(self.replay)

    def ready(self) -> bool:
        """Whether a batch can be drawn."""
        return self.replay.ready(self.config.batch_size_B, self.config.batch_length_T)

    def learn(self, updates: int) -> tuple[dict[str, float], float] | NonFiniteUpdate:
        """Makes this many updates; the sums of their figures, and the seconds that they took.

        In float64, so that it doesn't show how many calls an iteration's updates were dealt out to.
        Or the first update with a figure that isn't finite, for the caller to raise: RLlib 2.60 gives up a remote
        learner whose call raises. On a CPU it was the last one and changed nothing; on a GPU it is found when all have
        been made, and has spoiled weights, latents and the updates after it.
        """
        started = time.perf_counter()
        on_cpu, sums = self._device.type == "cpu", torch.zeros((), device=self._device)
        watch = FirstBroken(self._device, latch=not on_cpu)
        for _ in range(updates):
            before = self.own_state() if on_cpu else {}
            batch, places = self.replay.sample(self.config.batch_size_B, self.config.batch_length_T)
            named, states = self.update_once(batch)
            figures = torch.stack(list(named.values()))
            watch.look(figures, batch)
            if on_cpu and watch.first >= 0:
                break
            self.replay.write_back(places, states)
            sums = sums + figures.double()
        *totals, first = torch.cat([sums.expand(len(named)), watch.first[None]]).tolist()  # the one wait for a GPU
        if first >= 0:
            return self._diverged(list(named), watch, 0 if on_cpu else updates - int(first), before)
        return dict(zip(named, totals, strict=True)), time.perf_counter() - started

    @property
    def updates_made(self) -> int:
        """Steps of the optimiser, over all checkpoints; on a GPU asking waits."""
        state = self.get_optimizer().state.values()
        return int(next(iter(state))["step"]) if state else 0

    def _diverged(self, names: list[str], watch: FirstBroken, since: int, before: dict[str, Any]) -> NonFiniteUpdate:
        """What to return, `since` steps of the optimiser later; `before` is what the update depended on, if known."""
        values, batch = watch.kept()
        if before:
            self.set_own_state(before)
        figures = dict(zip(names, values, strict=True))
        return NonFiniteUpdate(self.updates_made - since + 1, figures, arrays(batch), before, untouched=bool(before))

    def compute_loss_for_module(self, **kwargs: Any) -> Any:
        """RLlib's own path into an update, which this learner doesn't take."""
        raise NotImplementedError("AgentLearner updates through learn(), not through RLlib's update().")

    def get_state(self, components: Any = None, *, not_components: Any = None, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, with the return range and the noise generator."""
        state: dict[str, Any] = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(OWN_STATE, components, not_components):
            state[OWN_STATE] = self.own_state()
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes a state; a captured update is captured anew."""
        super().set_state(state)
        if OWN_STATE in state:
            self.set_own_state(state[OWN_STATE])
        self._make_update()

    def own_state(self) -> dict[str, Any]:
        """What an update depends on beside weights, optimiser and replay: the return range and the noise generator."""
        return {
            "return_low": float(self.returns.low),
            "return_high": float(self.returns.high),
            "noise": self.generator.get_state().numpy(),
        }

    def set_own_state(self, state: dict[str, Any]) -> None:
        """Takes up what `own_state` gave."""
        self.returns.low.fill_(float(state["return_low"]))
        self.returns.high.fill_(float(state["return_high"]))
        self.generator.set_state(torch.as_tensor(state["noise"]))

    def _make_update(self) -> None:
        """Sets `update_once`, and `rung`: the `kernels` that it really is, and why not those asked for, or ""."""
        if hasattr(self, "update_once"):
            del self.update_once  # whose buffers are as large as the new one's
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
        update = Update(
            agent=self.agent,
            optimizer=self.get_optimizer(),
            returns=self.returns,
            config=losses,
            generator=self.generator,
            bfloat16=config.precision == "bfloat16",
        )
        shape = config.batch_size_B, config.batch_length_T
        made = select_backend(update, config.kernels, config.precision, shape, config.why_not_fused)
        self.update_once, self.rung = made.update, (made.name, made.why)


def noise_seed(run_seed: int) -> int:
    """The seed of the updates' noise, which shares nothing with the run's other streams."""
    return int(np.random.SeedSequence(run_seed, spawn_key=(NOISE_STREAM,)).generate_state(1)[0])
