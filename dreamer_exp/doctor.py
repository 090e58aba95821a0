"""`python -m dreamer_exp.doctor`, an older spelling of `dreamer-exp doctor`."""

from dreamer_exp.cli.doctor import main

if __name__ == "__main__":
    main()
