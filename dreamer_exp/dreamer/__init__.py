"""Experiment -> RLlib's DreamerV3: its config, its algorithm, its replay and its policy."""
