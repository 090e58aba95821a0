"""Sweeps: their jobs, one process for each, one Ray for all, a live table, a summary, and resuming."""
