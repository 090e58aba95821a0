"""Resuming a run: the request on the command line, and the checkpoint it resumes from."""
