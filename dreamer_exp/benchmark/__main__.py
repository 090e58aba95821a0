"""Entry point of `python -m dreamer_exp.benchmark RUN`."""

if __name__ == "__main__":  # worker processes import this file too
    from dreamer_exp.cli.benchmark import main

    main()
