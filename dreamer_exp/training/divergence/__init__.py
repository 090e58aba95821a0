"""Divergence: the report of a non-finite update, and the replay of that update on the CPU."""
