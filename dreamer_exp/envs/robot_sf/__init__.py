"""Robot SF behind the contract that crowd_nav shares: an adapter to the GPL package, which is imported, never copied.

Importing this package imports nothing of Robot SF; `package.load` does, when an environment is made.
"""
