"""`python -m retention.cli`: the command `retention`."""

import sys

from retention.cli.console import main

if __name__ == "__main__":
    sys.exit(main())
