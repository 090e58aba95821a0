"""A robot on a line: the smallest environment of docs/environments.md."""
