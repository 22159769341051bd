"""What every benchmark writes down beside its figures."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def machine() -> dict[str, Any]:
    """Processor, cores, versions."""
    cpu = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_result(path: Path | None, result: Any) -> None:
    """Write a result as JSON where an --output was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n")


def peak_mb(*command: str) -> float:
    """Peak memory of this process; or of a script beside this one, which prints its own."""
    if command:
        script = Path(__file__).with_name(command[0])
        ran = subprocess.run([sys.executable, str(script), *command[1:]], capture_output=True, text=True, check=True)
        return float(ran.stdout.split()[-1])
    # Not getrusage: a process begins with the peak of the one that started it.
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
