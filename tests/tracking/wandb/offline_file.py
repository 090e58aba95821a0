"""The records in a .wandb file, which wandb itself can only upload.

The file is a 7-byte header, then LevelDB's log format (doc/log_format.md of github.com/google/leveldb): blocks of
32 KiB with chunks of crc32 (4 bytes), length (2), type (1) and payload; types are 1 full, 2 first, 3 middle, 4 last.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, CHUNK_HEADER, FILE_HEADER = 32768, 7, 7
FULL, LAST = 1, 4


def records(file: Path) -> Iterator[Any]:
    """Yield the records (wandb_internal_pb2.Record) in order."""
    for payload in _payloads(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(payload)
        yield record


def history(file: Path) -> list[dict[str, str]]:
    """Return the logged rows; values are JSON texts."""
    found = [record.history for record in records(file) if record.WhichOneof("record_type") == "history"]
    return [{".".join(item.nested_key) or item.key: item.value_json for item in row.item} for row in found]


def cut_within_row(file: Path, num: int) -> None:
    """Cut the file off in the middle of the record of row `num`, from 0."""
    data = file.read_bytes()
    rows = [record for record in records(file) if record.WhichOneof("record_type") == "history"]
    payload = rows[num].SerializeToString()
    assert data.count(payload) == 1  # in one chunk
    os.truncate(file, data.index(payload) + len(payload) // 2)


def _payloads(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    position, parts = FILE_HEADER, b""
    while position + CHUNK_HEADER <= len(data):
        if BLOCK - position % BLOCK < CHUNK_HEADER:  # padding to the next block
            position += BLOCK - position % BLOCK
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        position += CHUNK_HEADER + length
        parts += data[position - length : position]
        if kind in (FULL, LAST):
            yield parts
            parts = b""
    assert position == len(data)
