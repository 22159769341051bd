"""Whether a browser decides as Python does: what `benchmarks/browser.mjs` wrote, beside ONNX Runtime in Python.

node benchmarks/browser.mjs EXPORTED heard.json recording.wav ...
python benchmarks/browser.py EXPORTED heard.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from phonaut.deploy.onnx import session

RESULT = Path(__file__).parent / "results" / "browser.json"


def main() -> None:
    """Compare, print and keep."""
    exported, heard = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    runtime, labels = session(exported / "model.onnx"), json.loads((exported / "export.json").read_text())["labels"]
    differences, same, loud = [], 0, 0
    for one in heard:
        audio = np.array(one["audio"], dtype=np.float32)[None]
        scores = runtime.run(None, {"audio": audio})[0][0]
        differences.append(float(np.abs(scores - np.array(one["scores"])).max()))
        same += labels[int(scores.argmax())] == one["label"]
        loud += bool(np.abs(audio).max() > 0.01)
    row = {
        "n": len(heard), "the same decision": same, "with sound": loud, "largest difference": max(differences),
        "median ms": float(np.median([one["ms"] for one in heard])),
    }  # fmt: skip
    print(row)
    RESULT.write_text(json.dumps(row, indent=2) + "\n")


if __name__ == "__main__":
    main()
