"""Work beside the main stream: what fills the multiprocessors that the scans over time leave idle."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch


class Streams:
    """Two streams beside the current one; without a GPU everything runs in the order in which it is written.

    torch gives a tensor's memory to the next one of the same stream as soon as nobody holds it. So whoever hands a
    tensor from one stream to another holds it until they have joined.
    """

    def __init__(self, device: torch.device) -> None:
        self._streams = [torch.cuda.Stream(device) for _ in range(2)] if device.type == "cuda" else []
        self._marks: list[tuple[str, torch.cuda.Event]] | None = None

    @contextmanager
    def beside(self, lane: int) -> Iterator[None]:
        """What is launched here waits for what the current stream holds by now, which doesn't wait for it."""
        if not self._streams:
            yield
            return
        self._streams[lane].wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._streams[lane]):
            yield

    def join(self, lane: int) -> None:
        """The current stream waits for what was launched beside it."""
        if self._streams:
            torch.cuda.current_stream().wait_stream(self._streams[lane])

    def mark(self, part: str) -> None:
        """The current stream has come to the end of a part; only `marking` takes notice."""
        if self._marks is not None:
            event = torch.cuda.Event(enable_timing=True, external=True)
            event.record()
            self._marks.append((part, event))

    @contextmanager
    def marking(self) -> Iterator[list[tuple[str, torch.cuda.Event]]]:
        """Gives the list of the marks of what is captured here, whose events each replay records anew."""
        self._marks = []
        try:
            yield self._marks
        finally:
            self._marks = None


def between(marks: list[tuple[str, torch.cuda.Event]]) -> dict[str, float]:
    """Milliseconds from each mark to the next, by the name of the latter; the device has to be done with them."""
    return {part: start.elapsed_time(end) for (_, start), (part, end) in pairwise(marks)}
