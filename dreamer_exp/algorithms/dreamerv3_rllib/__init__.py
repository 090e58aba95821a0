"""RLlib's stock DreamerV3 learner as an algorithm of this package."""
