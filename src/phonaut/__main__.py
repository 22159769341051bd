"""`python -m phonaut`."""

import sys

from phonaut.cli import main

sys.exit(main())
