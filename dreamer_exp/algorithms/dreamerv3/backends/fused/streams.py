"""CUDA streams next to the main one, for work on the multiprocessors that the scans over time leave idle."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch


class Streams:
    """Two streams next to the current one. Without a GPU everything runs in program order.

    When nothing refers to a tensor any more, torch gives its memory to the next tensor of the same stream. So code that
    passes a tensor from one stream to another has to keep a reference until the streams are joined.
    """

    def __init__(self, device: torch.device) -> None:
        self._streams = [torch.cuda.Stream(device) for _ in range(2)] if device.type == "cuda" else []
        self._marks: list[tuple[str, torch.cuda.Event]] | None = None

    @contextmanager
    def fork(self, index: int) -> Iterator[None]:
        """Launch on stream `index`, after what is on the current stream now; the current stream doesn't wait."""
        if not self._streams:
            yield
            return
        self._streams[index].wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._streams[index]):
            yield

    def join(self, index: int) -> None:
        """Make the current stream wait for stream `index`."""
        if self._streams:
            torch.cuda.current_stream().wait_stream(self._streams[index])

    def mark(self, section: str) -> None:
        """Record the end of a section on the current stream, if within `marking`."""
        if self._marks is not None:
            event = torch.cuda.Event(enable_timing=True, external=True)
            event.record()
            self._marks.append((section, event))

    @contextmanager
    def marking(self) -> Iterator[list[tuple[str, torch.cuda.Event]]]:
        """Collect the marks of the code in this context; a captured graph records their events at each replay."""
        self._marks = []
        try:
            yield self._marks
        finally:
            self._marks = None


def durations(marks: list[tuple[str, torch.cuda.Event]]) -> dict[str, float]:
    """Return milliseconds from each mark to the next, by the name of the latter; the device has to be done."""
    return {section: start.elapsed_time(end) for (_, start), (section, end) in pairwise(marks)}
