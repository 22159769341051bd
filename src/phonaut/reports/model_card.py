"""The card of an exported model: what it is, what it was trained on, how well it does, how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phonaut.data.preparation.audio import ENERGY_HOP_S
from phonaut.files import read_json
from phonaut.reports.sections.rejection import rejection_in_words
from phonaut.runs.run import DETECTION_FILE

PROGRAM = """\
```python
import json
import numpy as np, onnxruntime, soundfile

session = onnxruntime.InferenceSession("model.onnx")
about = session.get_modelmeta().custom_metadata_map
labels, rate = json.loads(about["labels"]), int(about["sample_rate"])
audio, given = soundfile.read("recording.wav", dtype="float32")
assert given == rate and audio.ndim == 1, "resample to mono at the rate of the model first"
{fit}scores = session.run(None, {{"audio": audio[None]}})[0][0]
probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
print(labels[probabilities.argmax()], probabilities.max())
```
"""
EXECUTORCH = """\
```python
import json
import numpy as np, soundfile, torch
from executorch.runtime import Runtime

about = json.load(open("export.json"))
method = Runtime.get().load_program("model.pte").load_method("forward")
audio, given = soundfile.read("recording.wav", dtype="float32")
assert given == about["sample_rate"], "resample to the rate of the model first"
before = (about["clip_samples"] - len(audio)) // 2  # as in training, a shorter recording between equally many zeros
assert before >= 0, "cut the loudest clip out of a longer recording first"
audio = np.pad(audio, (before, about["clip_samples"] - len(audio) - before))
probabilities = method.execute([torch.from_numpy(audio)[None]])[0][0].softmax(dim=0)
print(about["labels"][int(probabilities.argmax())], float(probabilities.max()))
```
"""
STREAM = """\
Hop by hop (`stream.onnx`; {n_changed} of {n:,} decisions on {split} differ from those over whole recordings;
{state_bytes:,} bytes of state):

```python
stream = onnxruntime.InferenceSession("stream.onnx")
about = stream.get_modelmeta().custom_metadata_map
state = {{s["name"]: np.full(s["shape"], s["filled_with"], s["type"]) for s in json.loads(about["state"])}}
hop = int(about["hop_samples"])  # {hop_samples} samples
for begin in range(0, len(audio) - hop + 1, hop):
    scores, *after = stream.run(None, {{"audio": audio[None, begin : begin + hop], **state}})
    state = dict(zip(state, after))
    print((begin + hop) / rate, labels[scores[0].argmax()])
```
"""
ON_DEVICE = "`network.pte` is linked into ExecuTorch's runtime with the Cortex-M kernels; its input are features.\n"
C = """\
```sh
make -C model            # gcc -std=c99 -O2 -Wall -Wextra -Werror
model/words recording.wav
```

`model/model.h` has the four functions for a device, and the plan of its memory.
"""
FIT = """\
# As in training: of a longer recording the loudest clip, a shorter one between equally many zeros.
n = {n}
if len(audio) > n:
    power = np.square(audio[: len(audio) // {hop} * {hop}], dtype=np.float64).reshape(-1, {hop}).sum(axis=1)
    sums, width = np.concatenate([[0.0], power.cumsum()]), n // {hop}
    start = min(int(np.argmax(sums[width:] - sums[:-width])) * {hop}, len(audio) - n) if len(power) > width else 0
    audio = audio[start : start + n]
before = (n - len(audio)) // 2
audio = np.pad(audio, (before, n - len(audio) - before))
"""


def card(run: Any, figures: Mapping[str, Any]) -> str:
    """The card of a run, in Markdown.

    Args:
        run: that was exported.
        figures: what `phonaut.runs.export` wrote down.
    """
    config, about, environment = run.config, run.about, run.run.environment
    clip, rate, sizes, latency = (figures[key] for key in ("clip_samples", "sample_rate", "bytes", "latency_ms"))
    length = f"clips of {clip} samples ({clip / rate:g} s)" if clip else "recordings of any length from 0.1 s"
    corpus = run.corpus.get("name", config.choices.get("dataset"))
    version, cpu = (
        (environment.get(part) or {}).get(key) for part, key in (("versions", "phonaut"), ("machine", "cpu"))
    )
    lines = [
        f"# {figures['run']}: {config.choices.get('model')} for {config.target}",
        "",
        f"- **Hears** mono audio at {rate} Hz, `float32` in [-1, 1]: {length}.",
        f"- **Answers** with scores of {', '.join(figures['labels'])}; their softmax is a probability.",
        f"- **Size**: {about.get('parameters', 0):,} parameters, {about.get('macs', 0) / 1e6:.2f} M multiplications; "
        + ", ".join(f"`{name}` has {size / 1000:.0f} kB" for name, size in sizes.items())
        + ".",
        f"- **Trained on** {corpus}, protocol `{config.choices.get('protocol')}`, by Phonaut {version}: "
        f"`{environment.get('command')}`. The licence of the recordings is not known to this file.",
        f"- **Latency**, backend={figures['backend']}, one thread on {cpu}: "
        + "; ".join(
            f"{given} in " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items())
            for given, times in latency.items()
        )
        + ".",
        *thresholds(run.folder, about),
        "",
        "| split | metric | value | 95 % interval | n |",
        "|---|---|---|---|---|",
    ]
    for split, rates in run.run.metrics.items():
        for name, one in rates.items():
            if name in ("accuracy", "recall", "f1"):
                value, low, high = (100 * one[key] for key in ("value", "low", "high"))
                lines.append(f"| {split} | {name} | {value:.1f} % | {low:.1f} to {high:.1f} % | {one['n']:.0f} |")
    lines += ["", "The exported file beside the model that it was made of:", "",
              "| split | recordings | largest difference of scores | decisions changed | accuracy of model and file |",
              "|---|---|---|---|---|"]  # fmt: skip
    for split, one in figures["parity"].items():
        before, after = one["accuracy"]
        lines.append(f"| {split} | {one['n']} | {one['largest_difference']:.1e} | {one['n_changed']} | "
                     f"{100 * before:.1f} and {100 * after:.1f} % |")  # fmt: skip
    programs = {"executorch": EXECUTORCH, "cortex-m": ON_DEVICE, "c": C}
    program = programs.get(figures["backend"]) or PROGRAM.format(
        fit=FIT.format(n=clip, hop=max(1, round(ENERGY_HOP_S * rate))) if clip else ""
    )
    if "plan" in figures:
        lines += ["", "What it needs:", "", "```", *figures["plan"], "```"]
    lines += ["", "Without Phonaut:", "", program]
    if "stream" in figures:
        lines.append(STREAM.format(**figures["stream"]))
    return "\n".join(lines)


def thresholds(folder: Path, about: Mapping[str, Any]) -> list[str]:
    """Lines on thresholds that the run keeps: of detection, and for what is none of its words."""
    detection = read_json(folder / DETECTION_FILE, dict[str, Any]()).get("threshold")
    lines = [f"- **Detects** where a smoothed probability reaches {detection['value']:.3g}, {detection['how']} with "
             f"{detection['settings']}."] if detection else []  # fmt: skip
    if rejection := about.get("rejection"):
        lines.append(f"- **Rejects** as {rejection_in_words(rejection)}.")
    return lines
