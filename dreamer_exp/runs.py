"""`python -m dreamer_exp.runs`, an older spelling of `dreamer-exp runs`."""

from dreamer_exp.cli.runs import main

if __name__ == "__main__":
    main()
