"""Reference model of DreamerV3: float64, one time step after the other, as in the paper.

Read this file to learn the algorithm. Every backend is tested against it, so it shares no code with them. It applies no
optimisation: every step is computed in the loop, and gradients are only stopped where the paper stops them. It is far
too slow for training.

Equation numbers are those of Hafner et al. 2023 (arXiv:2301.04104v2). Letters in shapes: B sequences, T steps, H
imagined steps, N rows (B or B*T), D deterministic units, S categoricals of C classes, O observation elements, A
actions, G blocks of the recurrent weights. F = D + S*C is the width of a feature.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

BINS = 255  # of a two-hot value


@dataclass(frozen=True)
class ReferenceModel:
    """The losses of one agent.

    Args:
        weights: the agent's state_dict in float64; gradients of the losses reach its tensors.
        deter: D.
        stoch: S.
        classes: C.
        blocks: G.
        discrete: whether actions are one-hot vectors (A,) instead of vectors in [-1, 1] (A,).
        gamma: discount.
        gae_lambda: lambda of the lambda returns.
        entropy_scale: weight of the actor's entropy.
        horizon: H.
        decoder_weights: (O,) weights of the observation elements in the decoder loss; None means ones.
    """

    weights: Mapping[str, Tensor]
    deter: int
    stoch: int
    classes: int
    blocks: int
    discrete: bool
    gamma: float
    gae_lambda: float
    entropy_scale: float
    horizon: int
    decoder_weights: Tensor | None = None

    # --- layers ---------------------------------------------------------------------------------------------------

    def norm_silu(self, name: str, x: Tensor) -> Tensor:
        """Return SiLU(RMSNorm(x)) (N, width)."""
        rms = torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-4)  # (N, 1)
        x = x / rms * self.weights[f"{name}.scale"]
        return x / (1 + torch.exp(-x))

    def linear(self, name: str, x: Tensor) -> Tensor:
        """Return x (N, inputs) @ weight.T + bias (N, outputs)."""
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def mlp(self, name: str, x: Tensor) -> Tensor:
        """Apply the layers name.0, name.1, ... in turn: linear layers, each but an output layer with norm and SiLU."""
        position = 0
        while f"{name}.{position}.weight" in self.weights or f"{name}.{position}.scale" in self.weights:
            layer = f"{name}.{position}"
            x = self.norm_silu(layer, x) if f"{layer}.scale" in self.weights else self.linear(layer, x)
            position += 1
        return x

    def block_linear(self, name: str, x: Tensor) -> Tensor:
        """Apply to each of the G blocks of x (N, G * inputs) its own matrix (inputs, outputs): (N, G * outputs)."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        inputs = x.chunk(self.blocks, -1)
        return torch.cat([own @ weight[g] + bias[g] for g, own in enumerate(inputs)], -1)

    # --- recurrent state-space model (eq. 1) ----------------------------------------------------------------------

    def sequence_model(self, h: Tensor, z: Tensor, action: Tensor) -> Tensor:
        """Return h_t = f(h_{t-1}, z_{t-1}, a_{t-1}) (N, D), a block-diagonal GRU."""
        action = action / torch.maximum(torch.ones_like(action), action.abs()).detach()
        shared = [self.mlp("rssm.from_deter", h), self.mlp("rssm.from_stoch", z), self.mlp("rssm.from_action", action)]
        # each block sees its own D / G units and all of the shared inputs
        x = torch.cat([torch.cat([own, *shared], -1) for own in h.chunk(self.blocks, -1)], -1)
        x = self.norm_silu("rssm.core_norm", self.block_linear("rssm.core", x))  # (N, D)
        gates = [block.chunk(3, -1) for block in self.block_linear("rssm.gates", x).chunk(self.blocks, -1)]
        reset, candidate, update = (torch.cat([gate[i] for gate in gates], -1) for i in range(3))  # (N, D) each
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)
        return update * candidate + (1 - update) * h

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the categoricals (N, S, C) of logits (N, S*C), mixed with 1 % of the uniform distribution."""
        logits = logits.reshape(*logits.shape[:-1], self.stoch, self.classes)
        return 0.99 * torch.softmax(logits, -1) + 0.01 / self.classes

    def posterior(self, h: Tensor, token: Tensor) -> Tensor:
        """Return q(z_t | h_t, x_t) (N, S, C) of the encoder's token (N, E)."""
        x = self.norm_silu("rssm.posterior_norm", self.linear("rssm.posterior_in", torch.cat([h, token], -1)))
        return self.probabilities(self.mlp("rssm.posterior_out", x))

    def prior(self, h: Tensor) -> Tensor:
        """Return p(z_t | h_t) (N, S, C)."""
        return self.probabilities(self.mlp("rssm.prior_net", h))

    def sample(self, probabilities: Tensor, uniform: Tensor) -> Tensor:
        """Draw one-hot latents (N, S*C) by inverse CDF from uniform numbers (N, S); straight-through gradient."""
        rows = []
        for row, numbers in zip(probabilities.detach(), uniform, strict=True):
            one_hot = torch.zeros_like(row)  # (S, C)
            for s in range(self.stoch):
                total, choice = 0.0, self.classes - 1
                for c in range(self.classes):
                    total += float(row[s, c])
                    if float(numbers[s]) < total:
                        choice = c
                        break
                one_hot[s, choice] = 1.0
            rows.append(one_hot)
        return (torch.stack(rows) + probabilities - probabilities.detach()).flatten(1)

    # --- distributions --------------------------------------------------------------------------------------------

    def bins(self) -> Tensor:
        """Return the bins of a two-hot value, symexp(-20 ... 20) (255,) (eq. 10)."""
        points = torch.linspace(-20, 20, BINS, dtype=torch.float64)
        return torch.sign(points) * (torch.exp(points.abs()) - 1)

    def expected(self, logits: Tensor) -> Tensor:
        """Return the mean (N,) of a two-hot head's logits (N, 255), summed in pairs of opposite bins."""
        weighted = torch.softmax(logits, -1) * self.bins()
        return (weighted + weighted.flip(-1)).sum(-1) / 2

    def two_hot_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the cross entropy (N,) of logits (N, 255) with the two-hot encoding of target (N,) (eq. 11)."""
        bins, encoded = self.bins(), torch.zeros_like(logits)
        flat = encoded.reshape(-1, BINS)
        for row, value in enumerate(target.detach().flatten().tolist()):
            k = int((bins <= value).sum()) - 1
            if k < 0 or k >= BINS - 1:
                flat[row, max(k, 0)] = 1.0
            else:
                share = (value - float(bins[k])) / float(bins[k + 1] - bins[k])
                flat[row, k], flat[row, k + 1] = 1 - share, share
        return -(flat.reshape(logits.shape) * torch.log_softmax(logits, -1)).sum(-1)

    def act(self, output: Tensor, noise: Tensor) -> Tensor:
        """Sample actions (N, A) of the actor's output: uniform noise (N, 1) if discrete, else normal (N, A)."""
        if self.discrete:
            chosen = ((0.99 * torch.softmax(output, -1) + 0.01 / output.shape[-1]).cumsum(-1) <= noise).sum(-1)
            return torch.nn.functional.one_hot(chosen.clamp(max=output.shape[-1] - 1), output.shape[-1]).double()
        mean, spread = output.chunk(2, -1)
        return (torch.tanh(mean) + (0.9 * torch.sigmoid(spread + 2) + 0.1) * noise).detach()

    def log_probability_and_entropy(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Return ln pi(action) and the entropy of the policy, (N,) each."""
        if self.discrete:
            p = 0.99 * torch.softmax(output, -1) + 0.01 / output.shape[-1]
            return (torch.log(p) * action).sum(-1), -(p * torch.log(p)).sum(-1)
        mean, spread = output.chunk(2, -1)
        normal = torch.distributions.Normal(torch.tanh(mean), 0.9 * torch.sigmoid(spread + 2) + 0.1)
        return normal.log_prob(action).sum(-1), normal.entropy().sum(-1)

    # --- losses ---------------------------------------------------------------------------------------------------

    def losses(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], low: float, high: float
    ) -> dict[str, Tensor]:
        """Return every loss by name, () each, not multiplied by its loss scale.

        Args:
            batch: observation (B, T, O), action (B, T, A), previous_action (B, A), reward, is_first, is_last,
                is_terminal (B, T), and the state before the first step, deter (B, D) and stoch (B, S*C).
            noise: posterior (B, T, S), prior (H, B*T, S), action (H+1, B*T, 1 or A).
            low: moving 5th percentile of the imagined returns before this update (eq. 7).
            high: moving 95th percentile.
        """
        target = torch.sign(batch["observation"]) * torch.log(batch["observation"].abs() + 1)  # symlog (B, T, O)
        h, z, action = batch["deter"], batch["stoch"], batch["previous_action"]
        per_step: dict[str, list[Tensor]] = {
            name: [] for name in ("decoder", "reward", "continue", "dynamics", "representation")
        }
        hs, zs = [], []
        for t in range(batch["reward"].shape[1]):
            keep = (1 - batch["is_first"][:, t])[:, None]  # (B, 1): the first step of an episode resets the state
            h = self.sequence_model(h * keep, z * keep, action * keep)
            q, p = self.posterior(h, self.mlp("encoder", target[:, t])), self.prior(h)
            z = self.sample(q, noise["posterior"][:, t])
            feature = torch.cat([h, z], -1)  # (B, F)
            per_step["decoder"].append(self.decoder_loss(feature, target[:, t]))
            per_step["reward"].append(self.two_hot_loss(self.mlp("reward", feature), batch["reward"][:, t]))
            per_step["continue"].append(self.continue_loss(feature, batch["is_terminal"][:, t]))
            per_step["dynamics"].append(self.divergence(q.detach(), p))
            per_step["representation"].append(self.divergence(q, p.detach()))
            action = batch["action"][:, t]
            hs.append(h)
            zs.append(z)
        means = {name: torch.stack(values).mean() for name, values in per_step.items()}
        imagined, first_returns = self.imagined_losses(hs, zs, noise, low, high)
        return {**means, **imagined, "critic_replay": self.replayed_critic_loss(hs, zs, batch, first_returns)}

    def decoder_loss(self, feature: Tensor, target: Tensor) -> Tensor:
        """Return the weighted squared error (B,) of the predicted symlog observation, target (B, O)."""
        squares = (self.mlp("decoder", feature) - target) ** 2
        return (squares if self.decoder_weights is None else squares * self.decoder_weights).sum(-1)

    def continue_loss(self, feature: Tensor, is_terminal: Tensor) -> Tensor:
        """Return the cross entropy (B,) of the continue head; its label contains the discount."""
        chance = torch.sigmoid(self.mlp("cont", feature))[:, 0]
        label = (1 - is_terminal) * self.gamma
        return -(label * torch.log(chance) + (1 - label) * torch.log(1 - chance))

    def divergence(self, left: Tensor, right: Tensor) -> Tensor:
        """Return KL(left || right) (B,) of categoricals (B, S, C), with 1 nat free (eq. 3)."""
        kl = (left * torch.log(left / right)).sum((-2, -1))
        return torch.maximum(kl, torch.ones_like(kl))

    def imagined_losses(
        self, hs: list[Tensor], zs: list[Tensor], noise: Mapping[str, Tensor], low: float, high: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return actor (eq. 6) and critic (eq. 5, 11) losses of rollouts from every replayed state.

        Args:
            hs: T recurrent states (B, D).
            zs: T latents (B, S*C).
            noise: as in `losses`.
            low: as in `losses`.
            high: as in `losses`.

        Returns:
            The losses, and the lambda returns of the replayed states (B, T).
        """
        h = torch.stack(hs, 1).detach().flatten(0, 1)  # (B*T, D)
        z = torch.stack(zs, 1).detach().flatten(0, 1)
        features, actions = [], []
        for step in range(self.horizon + 1):
            features.append(torch.cat([h, z], -1))
            actions.append(self.act(self.mlp("actor", features[-1]), noise["action"][step]))
            if step < self.horizon:
                h = self.sequence_model(h, z, actions[-1]).detach()
                z = self.sample(self.prior(h), noise["prior"][step]).detach()
        # H+1 tensors (B*T,) each
        reward = [self.expected(self.mlp("reward", f)).detach() for f in features]
        proceeds = [torch.sigmoid(self.mlp("cont", f))[:, 0].detach() for f in features]
        value = [self.expected(self.mlp("critic", f)).detach() for f in features]
        slow_value = [self.expected(self.mlp("slow_critic", f)).detach() for f in features]
        returns = [value[-1]]
        for t in reversed(range(self.horizon)):  # eq. 5
            bootstrap = (1 - self.gae_lambda) * value[t + 1] + self.gae_lambda * returns[0]
            returns.insert(0, reward[t + 1] + proceeds[t + 1] * bootstrap)
        every = torch.stack(returns[:-1])  # (H, B*T)
        low = 0.99 * low + 0.01 * float(torch.quantile(every, 0.05))
        high = 0.99 * high + 0.01 * float(torch.quantile(every, 0.95))
        actor, critic, weight = [], [], torch.ones_like(value[0])
        for t in range(self.horizon):
            weight = weight * proceeds[t]
            log_probability, entropy = self.log_probability_and_entropy(self.mlp("actor", features[t]), actions[t])
            advantage = (returns[t] - value[t]) / max(1.0, high - low)
            actor.append(-weight * (log_probability * advantage + self.entropy_scale * entropy))
            logits = self.mlp("critic", features[t])
            critic.append(weight * (self.two_hot_loss(logits, returns[t]) + self.two_hot_loss(logits, slow_value[t])))
        losses = {"actor": torch.stack(actor).mean(), "critic": torch.stack(critic).mean()}
        return losses, returns[0].reshape(hs[0].shape[0], len(hs))

    def replayed_critic_loss(
        self, hs: list[Tensor], zs: list[Tensor], batch: Mapping[str, Tensor], imagined: Tensor
    ) -> Tensor:
        """Return the critic loss on replayed states, bootstrapped by their imagined returns (B, T).

        The last step of an episode is left out, and no return crosses it.
        """
        steps = len(hs)
        returns = imagined[:, -1]
        targets: list[Tensor] = [returns] * steps
        for t in reversed(range(steps - 1)):
            cut = batch["is_last"][:, t + 1]
            carried = (1 - cut) * self.gae_lambda
            live = (1 - batch["is_terminal"][:, t + 1]) * self.gamma
            returns = batch["reward"][:, t + 1] + live * ((1 - carried) * imagined[:, t + 1] + carried * returns)
            targets[t] = returns
        losses = []
        for t in range(steps - 1):
            feature = torch.cat([hs[t], zs[t]], -1)
            logits, slow_value = self.mlp("critic", feature), self.expected(self.mlp("slow_critic", feature)).detach()
            weight = 1 - batch["is_last"][:, t]
            losses.append(weight * (self.two_hot_loss(logits, targets[t]) + self.two_hot_loss(logits, slow_value)))
        return torch.stack(losses).mean()
