"""`python -m dreamer_exp.doctor`: the command `dreamer-exp doctor`, under its older spelling."""

from dreamer_exp.cli.doctor import main

if __name__ == "__main__":
    main()
