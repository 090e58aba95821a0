"""Reads a .wandb file: LevelDB's log framing around W&B's own protobuf records.

wandb 0.31 has no reader left in Python (its sync is a Go program), so the framing is read here: a 7-byte header, then
32 KiB blocks of chunks of (crc32 4, length 2, type 1, payload), where types 1 full, 2 first, 3 middle, 4 last.
Source of the framing: LevelDB, doc/log_format.md.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER, FILE_HEADER = 32768, 7, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """The file's records in order (wandb_internal_pb2.Record), up to one that was cut off.

    Raises:
        ValueError: it is no .wandb file, or a record does not parse.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from wandb.proto import wandb_internal_pb2

    data = file.read_bytes()
    if data[:4] != b":W&B":
        raise ValueError(f"{file} is no W&B file")
    for payload in _payloads(data):
        record = wandb_internal_pb2.Record()
        try:
            record.ParseFromString(payload)
        except DecodeError as error:
            raise ValueError(f"{file}: {error}") from error
        yield record


def history(file: Path) -> list[dict[str, str]]:
    """The rows that were logged, each figure as JSON text; raises as `records` does."""
    found = [record.history for record in records(file) if record.WhichOneof("record_type") == "history"]
    return [{".".join(item.nested_key) or item.key: item.value_json for item in row.item} for row in found]


def _payloads(data: bytes) -> Iterator[bytes]:
    position, parts = FILE_HEADER, b""
    while position + HEADER <= len(data):
        if BLOCK - position % BLOCK < HEADER:  # too short for a chunk: padding up to the next block
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        position += HEADER + length
        if position > len(data):
            return  # the end of a process that was killed while it wrote
        parts += data[position - length : position]
        if kind in (FULL, LAST):
            yield parts
            parts = b""
