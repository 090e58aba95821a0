"""DreamerV3 once more, slowly: float64, one sequence and one step at a time, straight from the paper.

Equation numbers are those of Hafner et al., arXiv 2301.04104v2. It shares no code with the learner; parameters are
looked up by the learner's names. Nothing is hoisted, sliced, batched over time or computed without gradient but what
the paper detaches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Reference:
    """The losses of one agent's parameters; `weights` are float64 leaves by the agent's names."""

    weights: dict[str, Tensor]
    deter: int
    stoch: int
    classes: int
    blocks: int
    discrete: bool
    gamma: float
    gae_lambda: float
    entropy_scale: float
    horizon: int

    # --- layers -------------------------------------------------------------------------------------------------

    def norm_silu(self, name: str, x: Tensor) -> Tensor:
        rms = torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-4)
        x = x / rms * self.weights[f"{name}.scale"]
        return x / (1 + torch.exp(-x))

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def mlp(self, name: str, x: Tensor) -> Tensor:
        position = 0
        while f"{name}.{position}.weight" in self.weights or f"{name}.{position}.scale" in self.weights:
            layer = f"{name}.{position}"
            x = self.norm_silu(layer, x) if f"{layer}.scale" in self.weights else self.linear(layer, x)
            position += 1
        return x

    def block_linear(self, name: str, x: Tensor) -> Tensor:
        """x (N, G * inputs), each block with its own matrix."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        parts = x.chunk(self.blocks, -1)
        return torch.cat([part @ weight[g] + bias[g] for g, part in enumerate(parts)], -1)

    # --- recurrent state-space model (eq. 3) ----------------------------------------------------------------------

    def sequence_model(self, h: Tensor, z: Tensor, action: Tensor) -> Tensor:
        """h_t = f(h_{t-1}, z_{t-1}, a_{t-1})."""
        action = action / torch.maximum(torch.ones_like(action), action.abs()).detach()
        inputs = [self.mlp("rssm.from_deter", h), self.mlp("rssm.from_stoch", z), self.mlp("rssm.from_action", action)]
        x = torch.cat([torch.cat([own, *inputs], -1) for own in h.chunk(self.blocks, -1)], -1)
        x = self.norm_silu("rssm.core_norm", self.block_linear("rssm.core", x))
        gates = [part.chunk(3, -1) for part in self.block_linear("rssm.gates", x).chunk(self.blocks, -1)]
        reset, candidate, update = (torch.cat([gate[i] for gate in gates], -1) for i in range(3))
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update - 1)
        return update * candidate + (1 - update) * h

    def probabilities(self, logits: Tensor) -> Tensor:
        """Categoricals (N, S, C), 1 % uniform."""
        logits = logits.reshape(*logits.shape[:-1], self.stoch, self.classes)
        return 0.99 * torch.softmax(logits, -1) + 0.01 / self.classes

    def posterior(self, h: Tensor, token: Tensor) -> Tensor:
        x = self.norm_silu("rssm.posterior_norm", self.linear("rssm.posterior_in", torch.cat([h, token], -1)))
        return self.probabilities(self.mlp("rssm.posterior_out", x))

    def prior(self, h: Tensor) -> Tensor:
        return self.probabilities(self.mlp("rssm.prior_net", h))

    def sample(self, probabilities: Tensor, uniform: Tensor) -> Tensor:
        """One-hot by inverse CDF, straight-through, flattened."""
        rows = []
        for row, numbers in zip(probabilities.detach(), uniform, strict=True):
            picked = torch.zeros_like(row)
            for s in range(self.stoch):
                total, choice = 0.0, self.classes - 1
                for c in range(self.classes):
                    total += float(row[s, c])
                    if float(numbers[s]) < total:
                        choice = c
                        break
                picked[s, choice] = 1.0
            rows.append(picked)
        return (torch.stack(rows) + probabilities - probabilities.detach()).flatten(1)

    # --- distributions --------------------------------------------------------------------------------------------

    def bins(self) -> Tensor:
        """symexp(-20 ... 20) (eq. 10)."""
        points = torch.linspace(-20, 20, 255, dtype=torch.float64)
        return torch.sign(points) * (torch.exp(points.abs()) - 1)

    def expected(self, logits: Tensor) -> Tensor:
        weighted = torch.softmax(logits, -1) * self.bins()
        return (weighted + weighted.flip(-1)).sum(-1) / 2

    def two_hot_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross entropy with the two-hot target (eq. 10)."""
        bins, wanted = self.bins(), torch.zeros_like(logits)
        flat = wanted.reshape(-1, 255)
        for row, value in enumerate(target.detach().flatten().tolist()):
            k = int((bins <= value).sum()) - 1
            if k < 0 or k >= 254:
                flat[row, max(k, 0)] = 1.0
            else:
                share = (value - float(bins[k])) / float(bins[k + 1] - bins[k])
                flat[row, k], flat[row, k + 1] = 1 - share, share
        return -(flat.reshape(logits.shape) * torch.log_softmax(logits, -1)).sum(-1)

    def act(self, output: Tensor, noise: Tensor) -> Tensor:
        if self.discrete:
            chosen = ((0.99 * torch.softmax(output, -1) + 0.01 / output.shape[-1]).cumsum(-1) <= noise).sum(-1)
            return torch.nn.functional.one_hot(chosen.clamp(max=output.shape[-1] - 1), output.shape[-1]).double()
        mean, spread = output.chunk(2, -1)
        return (torch.tanh(mean) + (0.9 * torch.sigmoid(spread + 2) + 0.1) * noise).detach()

    def log_probability_and_entropy(self, output: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        if self.discrete:
            p = 0.99 * torch.softmax(output, -1) + 0.01 / output.shape[-1]
            return (torch.log(p) * action).sum(-1), -(p * torch.log(p)).sum(-1)
        mean, spread = output.chunk(2, -1)
        normal = torch.distributions.Normal(torch.tanh(mean), 0.9 * torch.sigmoid(spread + 2) + 0.1)
        return normal.log_prob(action).sum(-1), normal.entropy().sum(-1)

    # --- losses -----------------------------------------------------------------------------------------------------

    def losses(self, batch: dict[str, Tensor], noise: dict[str, Tensor], low: float, high: float) -> dict[str, Tensor]:
        """Every loss, unscaled; `low` and `high` are the return percentiles seen so far (eq. 12)."""
        steps = batch["reward"].shape[1]
        target = torch.sign(batch["observation"]) * torch.log(batch["observation"].abs() + 1)
        h, z, action = batch["deter"], batch["stoch"], batch["previous_action"]
        found: dict[str, list[Tensor]] = {name: [] for name in ("decoder", "reward", "continue", "dyn", "rep")}
        hs, zs = [], []
        for t in range(steps):
            keep = (1 - batch["is_first"][:, t])[:, None]
            h = self.sequence_model(h * keep, z * keep, action * keep)
            q, p = self.posterior(h, self.mlp("encoder", target[:, t])), self.prior(h)
            z = self.sample(q, noise["posterior"][:, t])
            feature = torch.cat([h, z], -1)
            found["decoder"].append(((self.mlp("decoder", feature) - target[:, t]) ** 2).sum(-1))
            found["reward"].append(self.two_hot_loss(self.mlp("reward", feature), batch["reward"][:, t]))
            goes_on = torch.sigmoid(self.mlp("cont", feature))[:, 0]
            label = (1 - batch["is_terminal"][:, t]) * self.gamma
            found["continue"].append(-(label * torch.log(goes_on) + (1 - label) * torch.log(1 - goes_on)))
            for name, left, right in (("dyn", q.detach(), p), ("rep", q, p.detach())):  # eq. 5, free bits
                kl = (left * torch.log(left / right)).sum((-2, -1))
                found[name].append(torch.maximum(kl, torch.ones_like(kl)))
            action = batch["action"][:, t]
            hs.append(h)
            zs.append(z)
        means = {name: torch.stack(values).mean() for name, values in found.items()}
        imagined, first_returns = self.imagined_losses(hs, zs, noise, low, high)
        replayed = self.replayed_critic(hs, zs, batch, first_returns)
        return {
            "decoder": means["decoder"], "reward": means["reward"], "continue": means["continue"],
            "dynamics": means["dyn"], "representation": means["rep"], **imagined, "replay_critic": replayed,
        }  # fmt: skip

    def imagined_losses(
        self, hs: list[Tensor], zs: list[Tensor], noise: dict[str, Tensor], low: float, high: float
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Actor (eq. 11) and critic (eq. 7, 10) from every replayed state on; also the returns of those (B, T)."""
        h = torch.stack(hs, 1).detach().flatten(0, 1)
        z = torch.stack(zs, 1).detach().flatten(0, 1)
        features, actions = [], []
        for step in range(self.horizon + 1):
            features.append(torch.cat([h, z], -1))
            actions.append(self.act(self.mlp("actor", features[-1]), noise["action"][step]))
            if step < self.horizon:
                h = self.sequence_model(h, z, actions[-1]).detach()
                z = self.sample(self.prior(h), noise["prior"][step]).detach()
        reward = [self.expected(self.mlp("reward", f)).detach() for f in features]
        goes_on = [torch.sigmoid(self.mlp("cont", f))[:, 0].detach() for f in features]
        value = [self.expected(self.mlp("critic", f)).detach() for f in features]
        slow = [self.expected(self.mlp("slow_critic", f)).detach() for f in features]
        returns = [value[-1]]
        for t in reversed(range(self.horizon)):  # eq. 7
            bootstrap = (1 - self.gae_lambda) * value[t + 1] + self.gae_lambda * returns[0]
            returns.insert(0, reward[t + 1] + goes_on[t + 1] * bootstrap)
        every = torch.stack(returns[:-1])
        low = 0.99 * low + 0.01 * float(torch.quantile(every, 0.05))
        high = 0.99 * high + 0.01 * float(torch.quantile(every, 0.95))
        actor, critic, weight = [], [], torch.ones_like(value[0])
        for t in range(self.horizon):
            weight = weight * goes_on[t]
            chance, entropy = self.log_probability_and_entropy(self.mlp("actor", features[t]), actions[t])
            advantage = (returns[t] - value[t]) / max(1.0, high - low)
            actor.append(-weight * (chance * advantage + self.entropy_scale * entropy))
            logits = self.mlp("critic", features[t])
            critic.append(weight * (self.two_hot_loss(logits, returns[t]) + self.two_hot_loss(logits, slow[t])))
        rows = (hs[0].shape[0], len(hs))
        return {"actor": torch.stack(actor).mean(), "critic": torch.stack(critic).mean()}, returns[0].reshape(rows)

    def replayed_critic(self, hs: list[Tensor], zs: list[Tensor], batch: dict[str, Tensor], imagined: Tensor) -> Tensor:
        """The critic on replayed states, bootstrapped by the imagined returns; cut where an episode is cut."""
        steps = len(hs)
        returns = imagined[:, -1]
        kept: list[Tensor] = [returns] * steps
        for t in reversed(range(steps - 1)):
            cut = batch["is_last"][:, t + 1]
            carried = (1 - cut) * self.gae_lambda
            live = (1 - batch["is_terminal"][:, t + 1]) * self.gamma
            returns = batch["reward"][:, t + 1] + live * ((1 - carried) * imagined[:, t + 1] + carried * returns)
            kept[t] = returns
        losses = []
        for t in range(steps - 1):
            feature = torch.cat([hs[t], zs[t]], -1)
            logits, slow = self.mlp("critic", feature), self.expected(self.mlp("slow_critic", feature)).detach()
            weight = 1 - batch["is_last"][:, t]
            losses.append(weight * (self.two_hot_loss(logits, kept[t]) + self.two_hot_loss(logits, slow)))
        return torch.stack(losses).mean()
