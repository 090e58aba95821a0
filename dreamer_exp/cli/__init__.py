"""The command line, one module a command. Nothing in the package imports from here."""
