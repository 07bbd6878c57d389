"""`python -m unimo2` is the command line, so that `accelerate launch -m unimo2 ...` works."""

import sys

from unimo2.cli import main

if __name__ == "__main__":
    sys.exit(main())
