"""`python -m dreamer_exp.runs`: the command `dreamer-exp runs`, under its older spelling."""

import sys

from dreamer_exp.cli.runs import main

if __name__ == "__main__":
    sys.exit(main())
