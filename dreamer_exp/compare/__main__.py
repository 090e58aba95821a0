"""Entry point of `python -m dreamer_exp.compare PATH...`."""

if __name__ == "__main__":  # worker processes import this file too
    from dreamer_exp.cli.compare import main

    main()
