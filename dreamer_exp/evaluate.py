"""`python -m dreamer_exp.evaluate`: the command `dreamer-exp evaluate`, under its older spelling."""

from dreamer_exp.cli.evaluate import main

if __name__ == "__main__":
    main()
