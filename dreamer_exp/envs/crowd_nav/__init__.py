"""The embedded crowd-navigation environment: Robot SF's observations and actions at thousands of steps per second.

Importing this package imports no simulator; `env.py` does, when an environment is made.
"""
