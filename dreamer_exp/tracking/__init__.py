"""Experiment trackers next to the files of the run."""
