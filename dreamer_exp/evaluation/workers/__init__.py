"""Workers that run an evaluation's episodes: this process, processes of their own, or the env runners of a run."""
