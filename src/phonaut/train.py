"""`python -m phonaut.train` is `phonaut train`."""

import sys

from phonaut.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
