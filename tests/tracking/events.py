"""TensorBoard's event files, read as TensorBoard does: records of a length, its checksum, an Event and its checksum."""

import struct
from collections import defaultdict
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog

Scalars = dict[str, list[tuple[int, float]]]


def read_scalars(folder: Path) -> Scalars:
    """Return step and value of each scalar over a folder's files; a new session drops later steps of earlier ones."""
    scalars: Scalars = defaultdict(list)
    for file in sorted(folder.glob("events.out.tfevents.*"), key=lambda path: path.stat().st_mtime_ns):
        for event in read_events(file):
            if event.session_log.status == SessionLog.START:
                for name, points in scalars.items():
                    scalars[name] = [point for point in points if point[0] < event.step]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars[value.tag].append((event.step, value.simple_value))
    return scalars


def read_events(file: Path) -> list[Event]:
    content, events, place = file.read_bytes(), [], 0
    while place < len(content):
        (length,) = struct.unpack("<Q", content[place : place + 8])
        events.append(Event.FromString(content[place + 12 : place + 12 + length]))
        place += 16 + length
    return events
