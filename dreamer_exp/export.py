"""`python -m dreamer_exp.export`, another spelling of `dreamer-exp export`."""

from dreamer_exp.cli.export import main

if __name__ == "__main__":
    main()
