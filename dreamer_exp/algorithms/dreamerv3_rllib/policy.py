"""The deterministic policy of RLlib's network for several environments, without RLlib's connectors."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModule
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dreamer_exp.algorithms.categorical import draw_classes
from dreamer_exp.algorithms.rows import RowNoise


class DreamerPolicy:
    """Policy that acts in N environments at once with the mode of the actor's distribution.

    RLlib 2.60 samples the posterior latent. It is drawn from the random generator of the row; torch's global generator,
    which training uses, keeps its state.

    Args:
        module: the network. It is moved to the device.
        num_envs: N.
        device: "cpu" or "cuda"; None for that of the module.
    """

    def __init__(self, module: RLModule, num_envs: int, device: str | None = None) -> None:
        self._module = module if device is None else module.to(device)
        self._device = next(self._module.parameters()).device
        self._discrete = hasattr(self._module.action_space, "n")
        self._sampling = RowSampling(RowNoise(num_envs), num_envs)
        with torch.random.fork_rng(devices=[]):  # RLlib draws a latent here too, and discards it
            initial = self._module.get_initial_state()
        self._state = {
            name: torch.as_tensor(value, device=self._device).expand(num_envs, *value.shape).clone()
            for name, value in initial.items()
        }
        self._is_first = torch.ones(num_envs, device=self._device)

    @torch.no_grad()
    def begin(self, row: int, seed: int) -> None:
        """Begin an episode in a row: initial state, and the noise of this seed."""
        self._sampling.noise.begin(row, seed)
        self._is_first[row] = 1.0
        for part in self._state.values():
            part[row] = 0  # RLlib masks by a product, which would keep NaN

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions (N, A) in [-1, 1], or integers (N,) for Discrete, for observations (N, O)."""
        batch = {
            Columns.OBS: torch.as_tensor(observations, device=self._device)[:, None],
            Columns.STATE_IN: self._state,
            "is_first": self._is_first,
        }
        with torch.random.fork_rng(devices=[]), self._sampling:
            output = self._module.forward_inference(batch)
        self._state = output[Columns.STATE_OUT]
        self._is_first = torch.zeros_like(self._is_first)
        actions: NDArray[Any] = output[Columns.ACTIONS][:, 0].cpu().numpy()
        return actions if self._discrete else np.clip(actions, -1.0, 1.0)


class RowSampling(TorchFunctionMode):
    """Mode in which `torch.multinomial` draws each row's classes from the row's own generator.

    RLlib draws latents by torch.distributions, which takes no generator and calls `torch.multinomial` for all rows.

    Args:
        noise: of the rows.
        rows: N.
    """

    def __init__(self, noise: RowNoise, rows: int) -> None:
        super().__init__()
        self.noise, self._rows = noise, rows

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Replace `torch.multinomial`; call any other function as it is."""
        if func is torch.multinomial:
            return self._draw(args[0])
        return func(*args, **(kwargs or {}))

    def _draw(self, probabilities: Tensor) -> Tensor:
        """Return one class (M, 1) for each of M distributions (M, C): M/N of each row, in the order of the rows.

        RLlib also draws an initial state, which it throws away; M need not be a multiple of N there.
        """
        noise = self.noise.uniform(-(-len(probabilities) // self._rows)).to(probabilities.device)
        return draw_classes(probabilities, noise.flatten()[: len(probabilities)])[:, None]
