"""Replay buffer as published: a ring of steps with their latents for each environment, in tensors on one device.

A stream is the sequence of steps of one environment. A window is T+1 consecutive steps of a stream. Its first step is
context: it provides the state and the action before the T steps of the batch ("replay context" of danijar/dreamerv3).
The oldest step of a ring is therefore never trained on. Windows may cross episodes: the RSSM resets its state where
is_first is set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.replay.observation_rows import ObservationRows
from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer, gather, join, send
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.algorithms.protocol import RecordedSteps

FRESH_WINDOWS = 1024  # most windows that wait for their first use, over all streams
IS_FIRST, IS_LAST, IS_TERMINAL = range(3)  # columns of the ring "flags"

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Steps:
    """n consecutive steps of one stream, oldest first.

    Attributes:
        observation: (n, O).
        action: taken after the observation (n, A); one-hot for Discrete, zeros at the last step of an episode.
        reward: received with the observation (n,).
        is_first: whether an episode begins at the step (n,).
        is_last: whether it ends there, terminated or truncated (n,).
        is_terminal: whether it terminates there (n,).
        deter: recurrent state that chose the action (n, D).
        stoch: classes of its latent (n, S).
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


@dataclass(frozen=True)
class Pieces:
    """Steps of several streams, one piece after the other, as `LatentReplay.collect` returns them.

    Attributes:
        streams: of each piece (P,).
        lengths: steps of each piece (P,).
        flags: is_first, is_last and is_terminal of each step (n, 3).
        fields: the other fields of the rings (n, ...), in host memory from which they can be copied to the rings.
    """

    streams: Ints
    lengths: Ints
    flags: NDArray[np.uint8]
    fields: dict[str, Tensor]


class Windows:
    """Draws of windows, in numpy on the host; the steps of a stream are numbered from its first.

    Args:
        num_streams: environments.
        ring: places of each stream.
        seed: of the draws.

    Attributes:
        added: steps that each stream has received.
        fresh_from: first step of each stream's next fresh window.
    """

    def __init__(self, num_streams: int, ring: int, seed: int) -> None:
        self.ring = ring
        self.added = np.zeros(num_streams, np.int64)
        self.fresh_from = np.zeros(num_streams, np.int64)
        self.generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))

    def state(self) -> dict[str, Any]:
        """Return what the next draws depend on apart from the steps, as JSON types."""
        return {"fresh_from": self.fresh_from.tolist(), "generator": self.generator.bit_generator.state}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.fresh_from = np.array(state["fresh_from"], np.int64)
        self.generator.bit_generator.state = state["generator"]

    def counts(self, steps: int) -> Ints:
        """Return the number of windows of T+1 steps in each stream, for T = steps.

        Raises:
            ValueError: a ring is too small for a window.
        """
        if steps >= self.ring:
            raise ValueError(f"windows of {steps} steps and 1 of context do not fit a ring of {self.ring} places")
        counts: Ints = np.maximum(np.minimum(self.added, self.ring) - steps, 0)
        return counts

    def draw(self, rows: int, steps: int) -> Ints:
        """Return the places of B windows (B, T+1): fresh windows first, then uniform draws from all windows.

        Args:
            rows: B.
            steps: T.

        Raises:
            ValueError: no stream holds a window yet, or a ring is too small for one.
        """
        ends: Ints = self.counts(steps).cumsum()
        if ends[-1] == 0:
            raise ValueError(
                f"no stream holds the {steps + 1} steps of a window yet; the longest holds {self.added.max()}"
            )
        fresh_streams, fresh_starts = self._fresh(rows, steps)
        number = self.generator.integers(ends[-1], size=rows - len(fresh_streams))
        streams = np.searchsorted(ends, number, side="right")
        # the last window of a stream begins T+1 steps before its write position; count back from there
        starts = self.added[streams] - steps - (ends[streams] - number)
        streams, starts = np.concatenate([fresh_streams, streams]), np.concatenate([fresh_starts, starts])
        return streams[:, None] * self.ring + (starts[:, None] + np.arange(steps + 1)) % self.ring

    def _fresh(self, rows: int, steps: int) -> tuple[Ints, Ints]:
        """Return the streams and first steps of up to B windows that no batch has used, oldest windows first.

        This is the published online queue: every T new steps of a stream make a window, which is used once as soon as
        it is complete, or never if it is overwritten before. It departs in two points. The published queue has no
        bound, so that at a training ratio below 1 it only yields steps that are about to be overwritten; here all but
        the newest FRESH_WINDOWS are dropped, and uniform draws still reach them. Published windows start T+1 steps
        apart and leave out one step of T+1; these start T steps apart.
        """
        most = max(FRESH_WINDOWS // len(self.added), 1)
        oldest = np.maximum(self.added - self.ring, self.added - 1 - most * steps)
        np.maximum(self.fresh_from, oldest, out=self.fresh_from)
        waiting = np.maximum((self.added - 1 - self.fresh_from) // steps, 0)
        streams = np.repeat(np.arange(len(waiting)), waiting)
        nth = np.arange(len(streams)) - np.repeat(waiting.cumsum() - waiting, waiting)
        starts = self.fresh_from[streams] + nth * steps
        first = np.argsort(starts - self.added[streams], kind="stable")[:rows]  # by age
        self.fresh_from += steps * np.bincount(streams[first], minlength=len(waiting))
        return streams[first], starts[first]


class LatentReplay:
    """Replay with latents: rings of equal size, one for each stream, in one flat tensor for each field.

    Args:
        capacity: steps over all streams; each gets capacity // num_streams places.
        num_streams: environments.
        observation_size: O.
        actions: A.
        size: of the network, for D, S and C.
        parts: of the observation, for what is stored as bytes.
        seed: of the draws.
        device: of the rings.
        target: device of the batches; None for that of the rings.
        prefetch: whether to draw and send each batch one `sample` ahead; None prefetches from a CPU to a GPU.

    Raises:
        ValueError: a ring would have fewer than 2 places.
    """

    def __init__(
        self,
        *,
        capacity: int,
        num_streams: int,
        observation_size: int,
        actions: int,
        size: NetworkSize,
        parts: Sequence[Part] = (),
        seed: int,
        device: torch.device | str = "cpu",
        target: torch.device | str | None = None,
        prefetch: bool | None = None,
    ) -> None:
        ring = capacity // num_streams
        if ring < 2:
            raise ValueError(
                f"capacity {capacity} gives each of {num_streams} streams a ring of {ring} steps; a window needs 2"
            )
        self.size = size
        self.device = torch.device(device)
        self.target = torch.device(device if target is None else target)
        self._windows = Windows(num_streams, ring, seed)
        self.observations = ObservationRows(observation_size, parts)
        fields = {
            **self.observations.fields,
            "action": ((actions,), torch.float32),
            "reward": ((), torch.float32),
            "flags": ((3,), torch.uint8),
            "deter": ((size.deter,), torch.float16),
            "stoch": ((size.stoch,), torch.uint8),
        }
        self._rings = {  # not initialised: the OS then commits a page only when it is first written
            name: torch.empty((num_streams * ring, *shape), dtype=dtype, device=self.device)
            for name, (shape, dtype) in fields.items()
        }
        # scratch memory of _finish_write_back
        self._latest = torch.zeros(num_streams * ring, dtype=torch.int32, device=self.device)
        self._classes = torch.arange(size.classes, dtype=torch.uint8, device=self.target)
        self._to_gpu = self.device.type == "cpu" and self.target.type == "cuda"
        self._side = torch.cuda.Stream(self.target) if self._to_gpu else None
        self._prefetches = self._to_gpu if prefetch is None else prefetch
        self._prefetched: tuple[Tensor, Transfer] | None = None  # places and fields of the next batch
        self._before_prefetch: dict[str, Any] = {}  # state of the windows before it was drawn
        self._pending: tuple[Tensor, Transfer] | None = None  # places and latents of the last write_back

    def __len__(self) -> int:
        """Return the number of steps held, over all streams."""
        return int(np.minimum(self._windows.added, self._windows.ring).sum())

    @property
    def bytes_per_step(self) -> int:
        """Memory of one step, in bytes."""
        return sum(ring[0].nbytes for ring in self._rings.values())

    @property
    def nbytes(self) -> int:
        """Memory of the full rings, in bytes."""
        return sum(ring.nbytes for ring in self._rings.values())

    def ready(self, batch_size_B: int, batch_length_T: int) -> bool:
        """Return whether there are B different windows, or as many as full rings hold if that is fewer."""
        most = len(self._windows.added) * (self._windows.ring - batch_length_T)
        return int(self._windows.counts(batch_length_T).sum()) >= max(min(batch_size_B, most), 1)

    def add(self, stream: int, steps: Steps) -> None:
        """Append steps to a stream; they replace its oldest ones."""
        self.add_all(self.collect([(stream, steps)]))

    def collect(self, pieces: Sequence[tuple[int, Steps]]) -> Pieces:
        """Return pieces of streams, at least one, in a form that `add_all` takes; any thread may call this."""
        steps = [each for _, each in pieces]
        lengths = np.array([len(each) for each in steps], np.int64)
        flags = [
            np.concatenate([getattr(each, name) for each in steps]) for name in ("is_first", "is_last", "is_terminal")
        ]
        # an episode that was abandoned ends where the next one begins, as in the published replay
        begins_next = np.append(flags[IS_FIRST][1:], False)
        begins_next[lengths.cumsum()[lengths > 0] - 1] = False
        flags[IS_LAST] = flags[IS_LAST] | begins_next
        arrays = [{**vars(each), **self.observations.split(each.observation)} for each in steps]
        fields = {
            name: join([each[name] for each in arrays], ring.dtype, pinned=self.device.type == "cuda")
            for name, ring in self._rings.items()
            if name != "flags"
        }
        streams = np.array([stream for stream, _ in pieces], np.int64)
        return Pieces(streams, lengths, np.stack(flags, -1).astype(np.uint8), fields)

    def add_all(self, pieces: Pieces) -> None:
        """Append pieces to their streams, in this order, with one transfer for each field."""
        self._finish_write_back()
        ring, flags = self._windows.ring, pieces.flags.copy()
        numbers, ended_rows, ended_places = self._append(pieces)
        streams = np.repeat(pieces.streams, pieces.lengths)
        places = streams * ring + numbers % ring
        if self._prefetched is not None and np.isin(self._prefetched[0].numpy(force=True), places).any():
            self._cancel_prefetch()  # rare: its steps are being overwritten
        flags[ended_rows, IS_LAST] = 1
        if ended_places:
            self._rings["flags"][:, IS_LAST].index_fill_(0, send(np.array(ended_places), self.device), 1)
        # a place that the pieces fill more than once keeps the newest step
        kept = np.flatnonzero(numbers >= self._windows.added[streams] - ring)
        index = send(places[kept], self.device)
        self._rings["flags"].index_copy_(0, index, send(flags[kept], self.device))
        for name, field in pieces.fields.items():
            rows = field if len(kept) == len(field) else field[torch.from_numpy(kept)]
            self._rings[name].index_copy_(0, index, rows.to(self.device, non_blocking=True))

    def _append(self, pieces: Pieces) -> tuple[Ints, list[int], list[int]]:
        """Count the pieces' steps; return their numbers in their streams.

        Returns:
            The numbers (n,), and the rows of the pieces and the places in the rings at which an episode was abandoned.
        """
        added, ring = self._windows.added, self._windows.ring
        numbers, rows, places = [], [], []
        last_rows: dict[int, int] = {}
        row = 0
        for stream, length in zip(pieces.streams.tolist(), pieces.lengths.tolist(), strict=True):
            before = int(added[stream])
            if length and pieces.flags[row, IS_FIRST]:
                if stream in last_rows:
                    rows.append(last_rows[stream])
                elif before:
                    places.append(stream * ring + (before - 1) % ring)
            numbers.append(np.arange(before, before + length))
            added[stream] += length
            row += length
            if length:
                last_rows[stream] = row - 1
        return np.concatenate(numbers), rows, places

    def newest(self, most: int) -> RecordedSteps:
        """Return up to this number of steps: the newest of each stream, equally many, one stream after the other."""
        added, ring = self._windows.added, self._windows.ring
        held = np.minimum(np.minimum(added, ring), max(most // len(added), 1))
        pieces = [
            stream * ring + np.arange(end - steps, end) % ring
            for stream, (end, steps) in enumerate(zip(added.tolist(), held.tolist(), strict=True))
        ]
        index = send(np.concatenate(pieces), self.device)
        observation = self.observations.join({name: self._rings[name][index] for name in self.observations.fields})
        action, reward, flags = (self._rings[name][index].numpy(force=True) for name in ("action", "reward", "flags"))
        is_first = flags[:, IS_FIRST].astype(bool)
        is_first[(np.cumsum(held) - held)[held > 0]] = True
        return RecordedSteps(
            observation.numpy(force=True), action, reward, is_first, flags[:, IS_TERMINAL].astype(bool)
        )

    def reseed(self, seed: int, number: int) -> None:
        """Draw the next batches from the random stream of (seed, number)."""
        self._cancel_prefetch()
        self._windows.generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number)))

    def sample(self, batch_size_B: int, batch_length_T: int) -> tuple[Batch, Tensor]:
        """Return a batch on the target device, and its places (B, T) for `write_back`, without waiting for a GPU.

        With prefetching, fresh windows come one batch later, and the carry misses the latents of the last two updates:
        one was running when the batch was drawn, and one had not begun.

        Raises:
            ValueError: no stream holds a window yet, or a ring is too small for one.
        """
        if self._prefetched is None or self._prefetched[0].shape != (batch_size_B, batch_length_T):
            self._prefetched = self._draw(batch_size_B, batch_length_T)
        places, fields = self._prefetched
        self._before_prefetch = self._windows.state()
        self._prefetched = self._draw(batch_size_B, batch_length_T) if self._prefetches else None
        return self._batch(fields.on_stream(), batch_size_B), places

    @torch.no_grad()
    def write_back(self, places: Tensor, states: State) -> None:
        """Store the states (B, T, ...) of an update as the latents of its steps (B, T).

        Call it before the next `add`. A step in several windows keeps the state of the last one. With prefetching, the
        latents are stored at the next write_back or add, so that the host waits for the update before only.
        """
        stoch = states.stoch.unflatten(-1, (self.size.stoch, self.size.classes)).argmax(-1)
        latents = {"deter": states.deter.half(), "stoch": stoch.to(torch.uint8)}
        transfer = Transfer({name: latent.flatten(0, 1) for name, latent in latents.items()}, self.device)
        self._finish_write_back()
        self._pending = places.flatten(), transfer
        if not self._prefetches:
            self._finish_write_back()

    def _finish_write_back(self) -> None:
        """Store the latents of the last `write_back`, if they are still pending."""
        if self._pending is not None:
            places, latents = self._pending
            # a GPU writes states of the same place in any order, even mixed: replace each by the place's last one
            number = torch.arange(len(places), dtype=torch.int32, device=self.device)
            latest = self._latest.scatter_reduce_(0, places, number, "amax", include_self=False)[places]
            for name, latent in (latents.on_host() if self.device.type == "cpu" else latents.on_stream()).items():
                self._rings[name].index_copy_(0, places, latent[latest])
            self._pending = None

    def _cancel_prefetch(self) -> None:
        """Drop the prefetched batch and restore the windows' state from before it."""
        if self._prefetched is not None:
            self._windows.load_state(self._before_prefetch)
            self._prefetched = None

    def _draw(self, rows: int, steps: int) -> tuple[Tensor, Transfer]:
        """Return the places (B, T) of the next batch, and its fields (N, ...) as the rings store them."""
        # (B, T+1)
        index = send(self._windows.draw(rows, steps), self.device)
        # (B*T,), (B,)
        places, context = index[:, 1:].flatten(), index[:, 0].contiguous()
        places_of = {"action": index.flatten(), "deter": context, "stoch": context}
        fields = {
            name: gather(ring, places_of.get(name, places), pinned=self._to_gpu) for name, ring in self._rings.items()
        }
        return places.view(rows, steps), Transfer(fields, self.target, self._side)

    def _batch(self, fields: dict[str, Tensor], rows: int) -> Batch:
        """Return the fields of a draw as a batch of B rows."""
        # three of (B, T)
        flags = fields["flags"].float().unflatten(0, (rows, -1)).unbind(-1)
        # (B, T+1, A)
        action = fields["action"].unflatten(0, (rows, -1))
        # (B, S*C)
        stoch = (fields["stoch"][..., None] == self._classes).flatten(1).float()
        return Batch(
            observation=self.observations.join(fields).unflatten(0, (rows, -1)),
            action=action[:, 1:],
            previous_action=action[:, 0],
            reward=fields["reward"].unflatten(0, (rows, -1)),
            is_first=flags[IS_FIRST],
            is_last=flags[IS_LAST],
            is_terminal=flags[IS_TERMINAL],
            carry=State(fields["deter"].float(), stoch),
        )
