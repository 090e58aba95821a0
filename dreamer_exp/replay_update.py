"""`python -m dreamer_exp.replay_update`: the command `dreamer-exp replay-update`, under its older spelling."""

from dreamer_exp.cli.replay_update import main

if __name__ == "__main__":
    main()
