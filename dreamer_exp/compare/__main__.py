"""`python -m dreamer_exp.compare PATH... [--by KEY] [--metric NAME] [--at env_steps|wall] [--out DIR]`."""

if __name__ == "__main__":  # the processes that read runs import this file too
    from dreamer_exp.cli.compare import main

    main()
