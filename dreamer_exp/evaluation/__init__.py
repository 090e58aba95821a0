"""Episodes on fixed seeds: rollouts, their schedule in a run, baselines, reports, trajectories and video."""
