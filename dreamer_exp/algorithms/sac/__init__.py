"""`algo=sac`: RLlib's SAC, with its learner and networks."""
