"""The embedded crowd-navigation environment: Robot SF's contract at thousands of steps a second.

Importing this package imports no simulator; `env.py` does, when an environment is made.
"""
