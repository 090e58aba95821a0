"""Experiment trackers next to the run's own files."""
