"""Export of a trained policy as one graph: (observation, state, noise) -> (action, next state, value)."""
