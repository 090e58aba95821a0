"""Replay buffer as published: a ring of steps with their latents for each environment, in tensors on one device.

A stream is the sequence of steps of one environment. A window is T+1 consecutive steps of a stream. Its first step is
context: it provides the state and the action before the T steps of the batch ("replay context" of danijar/dreamerv3).
The oldest step of a ring is therefore never trained on. Windows may cross episodes: the RSSM resets its state where
is_first is set.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamer_exp.algorithms.dreamerv3.losses import Batch
from dreamer_exp.algorithms.dreamerv3.observation_parts import Part
from dreamer_exp.algorithms.dreamerv3.replay.observation_rows import ObservationRows
from dreamer_exp.algorithms.dreamerv3.replay.staging import Transfer, gather, join, send
from dreamer_exp.algorithms.dreamerv3.replay.steps import IS_FIRST, IS_LAST, IS_TERMINAL, Pieces, Steps
from dreamer_exp.algorithms.dreamerv3.replay.windows import Windows
from dreamer_exp.algorithms.dreamerv3.sizes import NetworkSize
from dreamer_exp.algorithms.dreamerv3.world_model.rssm import State
from dreamer_exp.algorithms.lazy_memory import lazy_tensor
from dreamer_exp.algorithms.protocol import RecordedSteps


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
        self._rings = {
            name: lazy_tensor((num_streams * ring, *shape), dtype, self.device)
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
        arrays = [{**vars(each), "flags": each.flags, **self.observations.split(each.observation)} for each in steps]
        fields = {
            name: join([each[name] for each in arrays], ring.dtype, pinned=self.device.type == "cuda")
            for name, ring in self._rings.items()
        }
        streams = np.array([stream for stream, _ in pieces], np.int64)
        return Pieces(streams, np.array([len(each) for each in steps], np.int64), fields)

    def add_all(self, pieces: Pieces) -> None:
        """Append pieces to their streams, in this order, with one transfer for each field."""
        self._finish_write_back()
        windows, lengths = self._windows, pieces.lengths
        streams = np.repeat(pieces.streams, lengths)
        within = np.arange(len(streams)) - np.repeat(lengths.cumsum() - lengths, lengths)
        numbers = np.repeat(windows.append(pieces.streams, lengths), lengths) + within
        places = windows.places(streams, numbers)
        if self._prefetched is not None and np.isin(self._prefetched[0].numpy(force=True), places).any():
            self._cancel_prefetch()  # rare: its steps are being overwritten
        # a place that the pieces fill more than once keeps the newest step
        kept = np.flatnonzero(windows.holds(streams, numbers))
        index = send(places[kept], self.device)
        for name, field in pieces.fields.items():
            rows = field if len(kept) == len(field) else field[torch.from_numpy(kept)]
            self._rings[name].index_copy_(0, index, rows.to(self.device, non_blocking=True))
        # an episode that was abandoned ends where the next one begins, as in the published replay
        begins = pieces.fields["flags"][:, IS_FIRST].numpy() > 0
        streams, before = streams[begins], numbers[begins] - 1
        if len(ended := windows.places(streams, before)[windows.holds(streams, before)]):
            self._rings["flags"][:, IS_LAST].index_fill_(0, send(ended, self.device), 1)

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
