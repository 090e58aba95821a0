"""RLlib's stock DreamerV3, with the traps of RLlib 2.60 corrected in one place."""
