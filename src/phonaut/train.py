"""`python -m phonaut.train` is `phonaut train`; imported, this module is the function `phonaut.train`."""

import sys

if __name__ == "__main__":
    from phonaut.cli import main

    sys.exit(main(["train", *sys.argv[1:]]))

from phonaut.api import train

sys.modules[__name__] = train  # type: ignore[assignment]  # what the import system hands on, and sets in the package
