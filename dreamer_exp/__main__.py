"""`python -m dreamer_exp`: hands over to the command line."""

from dreamer_exp.cli.train import main

if __name__ == "__main__":
    main()
