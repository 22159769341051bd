"""Arrays and numbers in the text of C."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SHORT = {"int8_t": "i8", "uint8_t": "u8", "int16_t": "i16", "uint16_t": "u16", "int32_t": "i32", "int64_t": "i64"}
ITEM = {name: int(name[:-2].split("int")[1]) // 8 for name in (*SHORT, "uint32_t")}


@dataclass
class Numbers:
    """An array of C.

    Attributes:
        name: its own.
        c_type: of an entry.
        values: in order.
    """

    name: str
    c_type: str
    values: NDArray[Any]

    @property
    def n(self) -> int:
        """Entries."""
        return max(1, self.values.size)

    @property
    def n_bytes(self) -> int:
        """Bytes."""
        return self.values.size * ITEM[self.c_type]

    @property
    def text(self) -> str:
        """The entries, in lines."""
        end = {"int64_t": "LL", "uint32_t": "u"}.get(self.c_type, "")
        rows = np.array_split(self.values.reshape(-1), max(1, -(-self.values.size // 20)))
        return ",\n".join(
            "    " + ", ".join(literal(one) + ("" if one == LOWEST else end) for one in row.tolist()) for row in rows
        )


LOWEST = -(2**63)


def literal(n: int) -> str:
    """A whole number in C."""
    return "(-9223372036854775807LL - 1)" if n == LOWEST else "(-2147483647 - 1)" if n == -(2**31) else str(n)
