"""Where values lie in memory: a greedy plan by lifetimes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Buffer:
    """Memory of one or several values.

    Attributes:
        name: of the first.
        size: bytes.
        begin: the step that writes it.
        end: the last step that reads it.
        offset: where it begins; -1: not yet placed.
    """

    name: str
    size: int
    begin: int
    end: int
    offset: int = -1

    def meets(self, other: Buffer) -> bool:
        """Whether both are needed at one time."""
        return self.begin <= other.end and other.begin <= self.end


def place(buffers: list[Buffer], align: int = 1) -> int:
    """Set the offsets of buffers, so that none overlap that are needed at one time; returns the bytes of all.

    The largest first, or those that live longest, or in their order, each as low as it fits: whichever needs least.

    >>> a, b, c = Buffer("a", 10, 0, 1), Buffer("b", 20, 1, 2), Buffer("c", 10, 2, 3)
    >>> place([a, b, c]), a.offset, b.offset, c.offset
    (30, 20, 0, 20)
    """
    orders = [
        sorted(buffers, key=lambda one: -one.size),
        sorted(buffers, key=lambda one: (one.begin - one.end, -one.size)),
        sorted(buffers, key=lambda one: one.begin),
    ]
    least = min(orders, key=lambda order: placed_in(order, align))
    return placed_in(least, align)


def placed_in(order: list[Buffer], align: int) -> int:
    """Place buffers one after the other; the bytes of all."""
    done: list[Buffer] = []
    for buffer in order:
        buffer.offset = 0
        for other in sorted((one for one in done if one.meets(buffer)), key=lambda one: one.offset):
            if other.offset >= buffer.offset + buffer.size:
                break
            buffer.offset = max(buffer.offset, -(-(other.offset + other.size) // align) * align)
        done.append(buffer)
    return max((one.offset + one.size for one in done), default=0)
