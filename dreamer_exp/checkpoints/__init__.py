"""Checkpoints: the store, the policy file, the state they hold, and how a run resumes from one."""
