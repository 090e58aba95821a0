"""One run's life: its directory, loop, metrics rows, checkpoints, evaluation, tracking and progress."""
