"""`algo=ppo`: RLlib's PPO, with its learner and networks."""
