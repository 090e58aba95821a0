"""The published replay: a ring of steps with their latents for each environment, as tensors on one device.

A window is T+1 consecutive steps of one environment. Its first step is context: it gives the state and the action
before the batch's T steps ("replay context" of danijar/dreamerv3). So the very first step of an environment is never
trained on, nor is the oldest one held: one step in a ring's worth. Windows may cross episode borders: the RSSM forgets
where is_first says so.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer, gather, send
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.config.sizes import NetworkSize

FRESH_WINDOWS = 1024  # that wait for their first use at most, over all streams
IS_FIRST, IS_LAST, IS_TERMINAL = range(3)  # columns of the flags' ring

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """n consecutive steps of one environment, oldest first.

    observation (n, O) float32; action (n, A) float32 taken after it (one-hot for Discrete, zeros at an episode's last
    step); reward (n,) float32 that came with the observation; is_first, is_last, is_terminal (n,) bool; the state that
    acted: deter (n, D) float16 and stoch (n, S) uint8, class indices.
    """

    observation: NDArray[np.float32]
    action: NDArray[np.float32]
    reward: NDArray[np.float32]
    is_first: NDArray[np.bool_]
    is_last: NDArray[np.bool_]
    is_terminal: NDArray[np.bool_]
    deter: NDArray[np.float16]
    stoch: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.reward)


class Windows:
    """Which windows there are and which a batch takes; numpy on the host, steps are counted from a stream's first."""

    def __init__(self, num_streams: int, ring: int, seed: int) -> None:
        self.ring = ring
        self.added = np.zeros(num_streams, np.int64)  # steps so far
        self.fresh_from = np.zeros(num_streams, np.int64)  # step that the next fresh window begins with
        self.generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def draws(self) -> dict[str, Any]:
        """What the next draws depend on beside the steps; JSON can carry it."""
        return {"fresh_from": self.fresh_from.tolist(), "generator": self.generator.bit_generator.state}

    def set_draws(self, draws: dict[str, Any]) -> None:
        """Goes back, or on, to there."""
        self.fresh_from = np.array(draws["fresh_from"], np.int64)
        self.generator.bit_generator.state = draws["generator"]

    def counts(self, steps: int) -> Ints:
        """How many windows of T+1 steps each stream holds."""
        if steps >= self.ring:
            raise ValueError(f"windows of {steps} steps and 1 of context need more than a ring of {self.ring} places")
        counts: Ints = np.maximum(np.minimum(self.added, self.ring) - steps, 0)
        return counts

    def draw(self, rows: int, steps: int) -> Ints:
        """Places (B, T+1): fresh windows first, then any, each as likely as any other."""
        ends: Ints = self.counts(steps).cumsum()
        if ends[-1] == 0:
            raise ValueError(f"no stream has the {steps + 1} steps of a window yet, the longest {self.added.max()}")
        fresh_streams, fresh_starts = self._fresh(rows, steps)
        number = self.generator.integers(ends[-1], size=rows - len(fresh_streams))
        streams = np.searchsorted(ends, number, side="right")
        # the last window of a stream begins T+1 steps before its write head; count back from there
        starts = self.added[streams] - steps - (ends[streams] - number)
        streams, starts = np.concatenate([fresh_streams, streams]), np.concatenate([fresh_starts, starts])
        return streams[:, None] * self.ring + (starts[:, None] + np.arange(steps + 1)) % self.ring

    def _fresh(self, rows: int, steps: int) -> tuple[Ints, Ints]:
        """Streams and first steps of up to B windows that no batch has had yet, those that ended longest ago first.

        The published online queue: every T new steps of a stream make a window, used once as soon as it is there, or
        never where it was overwritten before. The published queue has no other bound, so that at a training ratio below
        1 it feeds nothing but steps about to be overwritten; here all but the newest FRESH_WINDOWS are dropped (uniform
        draws still reach them). Published windows lie T+1 steps apart and leave one step in T+1 out; these, T.
        """
        most = max(FRESH_WINDOWS // len(self.added), 1)
        oldest = np.maximum(self.added - self.ring, self.added - 1 - most * steps)
        np.maximum(self.fresh_from, oldest, out=self.fresh_from)
        waiting = np.maximum((self.added - 1 - self.fresh_from) // steps, 0)
        streams = np.repeat(np.arange(len(waiting)), waiting)
        nth = np.arange(len(streams)) - np.repeat(waiting.cumsum() - waiting, waiting)
        starts = self.fresh_from[streams] + nth * steps
        first = np.argsort(starts - self.added[streams], kind="stable")[:rows]  # streams run side by side: by age
        self.fresh_from += steps * np.bincount(streams[first], minlength=len(waiting))
        return streams[first], starts[first]


class LatentReplay:
    """Rings of equal size, one a stream, in one flat tensor a field.

    Args:
        capacity: steps over all streams; each gets capacity // num_streams places.
        num_streams: environments.
        observation_size: O.
        actions: A.
        size: of the network, for D, S and C.
        seed: of the draws.
        device: where the rings are.
        target: where batches go; None is the same device.
        ahead: draw and send each batch one `sample` early; None: if the rings are on the CPU and the target is a GPU.
    """

    def __init__(
        self,
        *,
        capacity: int,
        num_streams: int,
        observation_size: int,
        actions: int,
        size: NetworkSize,
        seed: int,
        device: torch.device | str = "cpu",
        target: torch.device | str | None = None,
        ahead: bool | None = None,
    ) -> None:
        ring = capacity // num_streams
        if ring < 2:
            raise ValueError(f"capacity {capacity} gives each of {num_streams} streams {ring} steps, a window needs 2")
        self.size = size
        self.device = torch.device(device)
        self.target = torch.device(device if target is None else target)
        self._windows = Windows(num_streams, ring, seed)
        fields = {
            "observation": ((observation_size,), torch.float32),
            "action": ((actions,), torch.float32),
            "reward": ((), torch.float32),
            "flags": ((3,), torch.uint8),
            "deter": ((size.deter,), torch.float16),
            "stoch": ((size.stoch,), torch.uint8),
        }
        self._rings = {  # empty: the OS commits a page when it is first written
            name: torch.empty((num_streams * ring, *shape), dtype=dtype, device=self.device)
            for name, (shape, dtype) in fields.items()
        }
        self._latest = torch.zeros(num_streams * ring, dtype=torch.int32, device=self.device)  # scratch of _settle
        self._classes = torch.arange(size.classes, dtype=torch.uint8, device=self.target)
        self._to_gpu = self.device.type == "cpu" and self.target.type == "cuda"
        self._side = torch.cuda.Stream(self.target) if self._to_gpu else None
        self._ahead = self._to_gpu if ahead is None else ahead
        self._next: tuple[Tensor, Transfer] | None = None  # the batch that was drawn early
        self._before_next: dict[str, Any] = {}  # the windows' draws before it
        self._returning: tuple[Tensor, Transfer] | None = None  # latents on their way back

    def __len__(self) -> int:
        """Steps held, over all streams."""
        return int(np.minimum(self._windows.added, self._windows.ring).sum())

    @property
    def bytes_per_step(self) -> int:
        """Memory of one step."""
        return sum(ring[0].nbytes for ring in self._rings.values())

    @property
    def nbytes(self) -> int:
        """Memory of the full rings."""
        return sum(ring.nbytes for ring in self._rings.values())

    def ready(self, batch_size_B: int, batch_length_T: int) -> bool:
        """Whether there are B different windows, or as many as the rings can ever hold."""
        most = len(self._windows.added) * (self._windows.ring - batch_length_T)
        return int(self._windows.counts(batch_length_T).sum()) >= max(min(batch_size_B, most), 1)

    def add(self, stream: int, steps: Steps) -> None:
        """Puts steps behind those that the stream has; the oldest make room."""
        self._settle()
        added, ring = self._windows.added, self._windows.ring
        before = stream * ring + int(added[stream] - 1) % ring
        added[stream] += len(steps)
        kept = slice(max(len(steps) - ring, 0), None)
        numbers = np.arange(added[stream] - len(steps), added[stream])[kept]
        places = stream * ring + numbers % ring
        if self._next is not None and np.isin(self._next[0].numpy(force=True), places).any():
            self._undraw()  # rare: steps of it are being overwritten
        # an episode that was given up ends where the next one begins, as in the published replay
        if added[stream] > len(steps) > 0 and steps.is_first[0]:
            self._rings["flags"][before, IS_LAST].fill_(1)
        is_last = steps.is_last | np.append(steps.is_first[1:], False)
        flags = np.stack([steps.is_first, is_last, steps.is_terminal], -1).astype(np.uint8)
        index = send(places, self.device)
        for name, field in self._rings.items():
            field.index_copy_(0, index, send((flags if name == "flags" else getattr(steps, name))[kept], self.device))

    def reseed(self, seed: int, number: int) -> None:
        """Draws from a stream of its own for this number from now on."""
        self._undraw()
        self._windows.generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number)))

    def sample(self, batch_size_B: int, batch_length_T: int) -> tuple[Batch, Tensor]:
        """A batch on the target, and its places (B, T) for `write_back`; never waits for a GPU.

        Drawn ahead, a batch's fresh windows come one batch late, and its carry lacks what the last two updates wrote
        back, one that was running when it was drawn and one that had not begun.
        """
        if self._next is None or self._next[0].shape != (batch_size_B, batch_length_T):
            self._next = self._draw(batch_size_B, batch_length_T)
        places, tensors = self._next
        self._before_next = self._windows.draws()
        self._next = self._draw(batch_size_B, batch_length_T) if self._ahead else None
        return self._batch(tensors.on_stream(), batch_size_B), places

    @torch.no_grad()
    def write_back(self, places: Tensor, states: State) -> None:
        """Keeps the update's states (B, T, ...) as the steps' latents; no `add` may come between `sample` and this.

        Where windows overlap, a step keeps the state of the last one.

        From a GPU to rings on the CPU they arrive one write_back (or add) later: the wait is for the update before.
        """
        stoch = states.stoch.unflatten(-1, (self.size.stoch, self.size.classes)).argmax(-1)
        latents = {"deter": states.deter.half(), "stoch": stoch.to(torch.uint8)}
        returning = Transfer({name: latent.flatten(0, 1) for name, latent in latents.items()}, self.device)
        self._settle()
        self._returning = places.flatten(), returning
        if not self._ahead:
            self._settle()

    def _settle(self) -> None:
        """Writes the latents that are on their way."""
        if self._returning is not None:
            places, latents = self._returning
            # a GPU writes several states of one place in any order, number by number: all of them become the last one
            number = torch.arange(len(places), dtype=torch.int32, device=self.device)
            latest = self._latest.scatter_reduce_(0, places, number, "amax", include_self=False)[places]
            for name, latent in (latents.on_host() if self.device.type == "cpu" else latents.on_stream()).items():
                self._rings[name].index_copy_(0, places, latent[latest])
            self._returning = None

    def _undraw(self) -> None:
        """Gives a batch that was drawn early back: its windows wait again, the generator repeats its numbers."""
        if self._next is not None:
            self._windows.set_draws(self._before_next)
            self._next = None

    def _draw(self, rows: int, steps: int) -> tuple[Tensor, Transfer]:
        """Places (B, T) of the next batch, and its fields (N, ...), the flat and compact ones of the rings."""
        index = send(self._windows.draw(rows, steps), self.device)  # (B, T+1)
        inner, context = index[:, 1:].flatten(), index[:, 0].contiguous()
        of_field = {"action": index.flatten(), "deter": context, "stoch": context}
        fields = {
            name: gather(ring, of_field.get(name, inner), pinned=self._to_gpu) for name, ring in self._rings.items()
        }
        return inner.view(rows, steps), Transfer(fields, self.target, self._side)

    def _batch(self, fields: dict[str, Tensor], rows: int) -> Batch:
        """Unpacks what was drawn."""
        flags = fields["flags"].float().unflatten(0, (rows, -1)).unbind(-1)
        action = fields["action"].unflatten(0, (rows, -1))  # (B, T+1, A)
        stoch = (fields["stoch"][..., None] == self._classes).flatten(1).float()
        return Batch(
            observation=fields["observation"].unflatten(0, (rows, -1)),
            action=action[:, 1:],
            previous_action=action[:, 0],
            reward=fields["reward"].unflatten(0, (rows, -1)),
            is_first=flags[IS_FIRST],
            is_last=flags[IS_LAST],
            is_terminal=flags[IS_TERMINAL],
            carry=State(fields["deter"].float(), stoch),
        )
