"""`python -m dreamer_exp.replay_update`, an older spelling of `dreamer-exp replay-update`."""

from dreamer_exp.cli.replay_update import main

if __name__ == "__main__":
    main()
