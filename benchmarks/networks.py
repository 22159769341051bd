"""Accuracy of networks for words against what they cost: one fold, one seed, the recipe of words in half its epochs.

    python benchmarks/networks.py dataset=fsdd protocol=leave_one_speaker_out protocol.fold=0
    python benchmarks/networks.py --draw

The runs stay in `--runs`, so that what is there is not trained again and `phonaut compare` can show them. `--draw`
draws `docs/networks.png` of what has been measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt

from machine import machine
from phonaut.config.compose import compose
from phonaut.runs.training import train

NETWORKS = {
    "tc-res8": [],
    "tc-res8, width 1": ["model.width=1"],
    "branchy-tc-res8": [],
    "tc-res14": [],
    "ds-tcn": [],
    "gds": ["features=sinc", "recipe=none", "checkpoint=last"],
    "mdtc": ["model.channels=32", "model.n_stacks=3"],
    "bc-res1": [],
    "gru": [],
    "lstm": [],
    "gmm": [],
    "gmmhmm": [],
}
HERE = Path(__file__).parent
RESULT, PICTURE = HERE / "results" / "networks.json", HERE.parent / "docs" / "networks.png"


def measured(name: str, overrides: list[str], runs: Path) -> dict[str, float]:
    """Figures of a network, trained if it was not."""
    folder = name.replace(", ", "_").replace(" ", "")
    place = [f"output_dir={runs}", f"experiment_id={folder}", "trainer.enable_progress_bar=false"]
    epochs = [] if name.startswith("gmm") else ["trainer.max_epochs=30"]
    words = [*overrides, f"model={name.partition(',')[0]}", *NETWORKS[name], *epochs, *place]
    run = runs / folder / name.partition(",")[0]
    if not (run / "metrics.json").exists():
        train(compose(words), run, [])
    about = json.loads((run / "model.json").read_text())
    accuracy = json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    return {**{key: about[key] for key in ("parameters", "macs", "train_seconds")}, **accuracy}


def draw(rows: dict[str, dict[str, float]]) -> None:
    """Accuracy over multiply-accumulates, with intervals."""
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for i, (name, row) in enumerate(sorted(rows.items(), key=lambda one: one[1]["value"])):
        low, high = row["value"] - row["low"], row["high"] - row["value"]
        axes.errorbar(row["macs"], 100 * row["value"], yerr=[[100 * low], [100 * high]], fmt="o", color="C0", alpha=0.7)
        text, at = f"{name}, {row['parameters'] / 1000:.0f} k", (row["macs"], 100 * row["value"])
        side = (
            {"xytext": (5, 0), "ha": "left"} if i % 2 else {"xytext": (-5, 0), "ha": "right"}
        )  # of neighbours, not one
        axes.annotate(text, at, textcoords="offset points", va="center", fontsize=8, **side)
    axes.set_xscale("log")
    axes.set_xlabel("multiply-accumulates for a second of speech")
    axes.set_ylabel("accuracy in %, 95 % interval")
    axes.set_title("Free Spoken Digits, one speaker who was never heard (500 clips)")
    axes.margins(x=0.25)
    figure.savefig(PICTURE, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--only", nargs="*", choices=list(NETWORKS), default=list(NETWORKS))
    parser.add_argument("--runs", type=Path, default=Path("trained_models/networks"))
    parser.add_argument("--draw", action="store_true")
    arguments = parser.parse_args()
    rows = json.loads(RESULT.read_text())["rows"] if RESULT.exists() else {}
    for name in arguments.only if arguments.overrides else []:
        rows[name] = measured(name, arguments.overrides, arguments.runs)
        print(name, rows[name], file=sys.stderr, flush=True)
        content = {"machine": machine(), "overrides": arguments.overrides, "rows": rows}
        RESULT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print("| network | parameters | MACs | accuracy | training, s |\n|---|---|---|---|---|")
    for name, row in rows.items():
        interval = f"[{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        print(f"| {name} | {row['parameters']:,} | {row['macs'] / 1e6:.2f} M | {100 * row['value']:.1f} {interval} | "
              f"{row['train_seconds']:.0f} |")  # fmt: skip
    if arguments.draw:
        draw(rows)


if __name__ == "__main__":
    main()
