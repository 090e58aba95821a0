"""Films of episodes, of a policy alone or side by side with baselines."""
