"""Robot SF with crowd_nav's contract: an adapter to the GPL package, which is imported and never copied.

Importing this package imports nothing of Robot SF; `package.load` does when an environment is made.
"""
