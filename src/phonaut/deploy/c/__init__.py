"""C99 of a network of integers with its front end in fixed point."""

from phonaut.deploy.c.compiled import Compiled
from phonaut.deploy.c.reference import Reference
from phonaut.deploy.c.writer import Written, write_c

__all__ = ["Compiled", "Reference", "Written", "write_c"]
