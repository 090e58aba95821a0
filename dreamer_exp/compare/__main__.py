"""`python -m dreamer_exp.compare PATH... [--by KEY] [--metric NAME] [--at env_steps|wall] [--out DIR]`."""

from dreamer_exp.compare.command import main

if __name__ == "__main__":  # a process that reads runs imports this file too
    main()
