"""Resuming a run: the request on the command line, and the point it resumes from."""
