"""`python -m dreamer_exp`, the same program as `dreamer-exp`."""

from dreamer_exp.cli.main import main

if __name__ == "__main__":
    main()
