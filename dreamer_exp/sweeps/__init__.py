"""Multirun: what jobs there are, one process for each, one Ray for all, what became of them, and going on later."""
