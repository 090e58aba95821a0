"""Reads an offline run's .wandb file: LevelDB's log framing around W&B's own protobuf records.

wandb 0.31 has no reader left in Python (its sync is a Go program), so the framing is read here: a 7-byte header, then
32 KiB blocks of chunks of (crc32 4, length 2, type 1, payload), where types 1 full, 2 first, 3 middle, 4 last.
Source of the framing: LevelDB, doc/log_format.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER, FILE_HEADER = 32768, 7, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """The file's records in order; raises if a record does not parse."""
    data = file.read_bytes()
    assert data[:4] == b":W&B"
    position, parts = FILE_HEADER, b""
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # too short for a chunk: padding up to the next block
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        parts += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            yield record
