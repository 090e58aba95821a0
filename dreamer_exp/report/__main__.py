"""Entry point of `python -m dreamer_exp.report RUN ...`."""

from dreamer_exp.cli.report import main

if __name__ == "__main__":
    main()
