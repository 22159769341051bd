"""Installs Phonaut into the environment of this interpreter, pinned by constraints.txt.

Where there is no GPU, PyTorch comes from its own CPU index if that answers within three seconds: other builds bring
gigabytes of CUDA libraries. Otherwise the pinned version comes from the configured index.

    python tools/install.py EXTRA,EXTRA
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
ROOT = Path(__file__).resolve().parent.parent


def pip(*arguments: str) -> None:
    """Run pip; it prints only what goes wrong."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    subprocess.run([sys.executable, "-m", "pip", "install", *quiet, *arguments], check=True, cwd=ROOT)


def answers(url: str) -> bool:
    """Whether a server is there, within three seconds."""
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=3):
            return True
    except (OSError, ValueError):
        return False


def main() -> None:
    """Install PyTorch, then Phonaut with extras."""
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pin = re.search(r"^torch==\S+", constraints, flags=re.MULTILINE)
    assert pin is not None, "constraints.txt pins no torch"
    if shutil.which("nvidia-smi") is None and answers(CPU_INDEX):
        print(f"{pin[0]} for CPUs from {CPU_INDEX} (there is no GPU)", flush=True)
        pip(pin[0], "--index-url", CPU_INDEX, "--constraint", "constraints.txt")
    else:
        print(f"{pin[0]} from the configured index", flush=True)
        pip(pin[0], "--constraint", "constraints.txt")
    print("the other packages, pinned in constraints.txt (a minute or two)", flush=True)
    pip("--editable", f".[{sys.argv[1]}]", "--constraint", "constraints.txt")
    if "test" in sys.argv[1].split(","):  # the tests read two of its files, which need nothing of what it asks for
        pip("s3prl", "--no-deps", "--constraint", "constraints.txt")


if __name__ == "__main__":
    main()
