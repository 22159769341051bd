"""Damaged files for every reader, for long: `python benchmarks/fuzz.py [NAME ...] [--seconds 300] [--seed 0]`.

Each reader runs in a process of its own, so that one that ends its process, or never ends, is named too. What is found
is kept under `--keep`; how the files are damaged, and what is a finding, stands in `tests/helpers/fuzz.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from helpers.fuzz import fuzz, readers

HANGS_S = 60  # after its time is over


def fuzzed(name: str, folder: Path, seconds: float, seed: int, answer: Connection) -> None:
    answer.send(fuzz(readers()[name], folder, seconds=seconds, seed=seed))


def main() -> int:
    table = readers()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(sorted(table)))
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=None)
    options = parser.parse_args()
    if unknown := set(options.names) - set(table):
        parser.error(f"{', '.join(sorted(unknown))}: the readers are {', '.join(sorted(table))}")
    keep = options.keep or Path(tempfile.mkdtemp(prefix="fuzz-"))
    context = multiprocessing.get_context("spawn")
    n_found = 0
    for name in options.names or sorted(table):
        answer, end = context.Pipe(duplex=False)
        folder = keep / name
        process = context.Process(target=fuzzed, args=(name, folder, options.seconds, options.seed, end))
        process.start()
        end.close()
        try:
            result = answer.recv() if answer.poll(options.seconds + HANGS_S) else None
        except EOFError:
            result = None
        if result is None:
            process.join(0)
            how = "it hangs" if process.is_alive() else f"it ended with {process.exitcode}"
            print(f"{name}: {how}; the damaged file is the one that lies in {folder / 'files'}", flush=True)
            process.kill()
            n_found += 1
            continue
        print(f"{name}: {result.n_read:,} read, {result.n_refused:,} refused, {len(result.findings)} findings")
        for finding in result.findings:
            print(f"  {finding.file}: {finding.what}\n    {finding.place}", flush=True)
        n_found += len(result.findings)
    return int(n_found > 0)


if __name__ == "__main__":
    sys.exit(main())
