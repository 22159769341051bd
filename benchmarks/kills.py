"""Kills at every kind of moment: `python benchmarks/kills.py [COMMAND ...] [--points 100] [--moments 100] [--seed 0]`.

Each command is killed where it changes files, and at random moments, and typed again; it must come to what it comes to
undisturbed, byte for byte but for times, and leave nothing behind. Points and moments are divided among the commands.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.kills import Place, chosen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*")
    parser.add_argument("--points", type=int, default=100)
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    n_lost = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        place = Place(Path(folder))
        commands = options.commands or list(place.words)
        for name in commands:
            expected, n_calls, seconds = place.undisturbed(name)
            draw = random.Random(options.seed)
            points = chosen(n_calls, -(-options.points // len(commands)), options.seed)
            moments = [draw.uniform(0, seconds) for _ in range(-(-options.moments // len(commands)))]
            lost = []
            for how, where in [("call", point) for point in points] + [("second", moment) for moment in moments]:
                try:
                    found = place.killed_at(name, where) if how == "call" else place.killed_after(name, where)
                    wrong = [file for file in expected.keys() | found.keys() if expected.get(file) != found.get(file)]
                except AssertionError as error:
                    wrong = [str(error)]
                if wrong:
                    lost.append(f"  killed at {how} {where:.3f}: {', '.join(wrong)}")
            print(f"{name}: {len(points)} of {n_calls} calls, {len(moments)} moments, {len(lost)} lost", flush=True)
            print(*lost, sep="\n", end="\n" * bool(lost), flush=True)
            n_lost += len(lost)
    return int(n_lost > 0)


if __name__ == "__main__":
    sys.exit(main())
