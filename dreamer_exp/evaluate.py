"""`python -m dreamer_exp.evaluate`, an older spelling of `dreamer-exp evaluate`."""

from dreamer_exp.cli.evaluate import main

if __name__ == "__main__":
    main()
