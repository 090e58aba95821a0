"""Replay of the published algorithm: the buffer, its file format, and its transfers between devices."""
