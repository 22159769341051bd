r"""What each switch of augmentation brings on validation speakers whom training never heard; the test is not looked at.

Every switch is added alone to the default recipe of tc-res8, and then all that are named `all`. One run for each switch
and fold, same seed; accuracies are of the validation speakers of all folds together.

    python benchmarks/augmentation.py dataset=fsdd protocol=leave_one_speaker_out --folds 0,2,4 --epochs 20

The tricks of training are measured likewise, the teacher being the same network three times as wide:

    python benchmarks/augmentation.py dataset=fsdd protocol=leave_one_speaker_out --folds 0,3 \
        --switches "default,mean of ten,mean of the best ten,branches,teacher,wide"
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from pathlib import Path

from phonaut.config.compose import compose
from phonaut.files import write_json
from phonaut.runs.training import train

SWITCHES = {
    "none": ["augmentation=none"],
    "default": [],
    "wider speed": ["augmentation.speed_low=0.75", "augmentation.speed_high=1.35"],
    "vocal tract": ["augmentation.vtl_low=0.85", "augmentation.vtl_high=1.18"],
    "rooms": ["augmentation.room_prob=0.5"],
    "equaliser, roll-off": [
        "augmentation.equalizer_db=6",
        "augmentation.rolloff_low_hz=3000",
        "augmentation.rolloff_high_hz=8000",
        "augmentation.rolloff_prob=0.5",
    ],
    "time masks": ["augmentation.time_mask_ms=150", "augmentation.time_masks=2"],
    "mixup": ["module.mixup=0.2"],
    "statistics noise": ["module.statistics_noise=0.5"],
    "mean of ten": ["checkpoint=average"],
    "mean of the best ten": ["checkpoint=average", "checkpoint.monitor=validation/loss"],
    "branches": ["module.reparameterized=true"],
    "wide": ["model.width=3"],
    "teacher": ["teacher.run={teacher}"],
}
TEACHER = "wide"
SWITCHES["all"] = [
    word
    for name in ("wider speed", "vocal tract", "equaliser, roll-off", "time masks", "statistics noise")
    for word in SWITCHES[name]
]


def wilson(p: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a rate (Wilson 1927)."""
    z = 1.96
    centre, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)


def trained(name: str, words: list[str], folder: Path) -> Path:
    """The run of a switch in a folder, trained where it is not there; its teacher first, where it has one."""
    run = folder / name.replace(" ", "_") / "tc-res8"
    if not (run / "metrics.json").exists():
        switch = [
            word.format(teacher=trained(TEACHER, words, folder)) if "{" in word else word for word in SWITCHES[name]
        ]
        train(compose([*words, *switch, f"output_dir={folder}", f"experiment_id={run.parent.name}"]), run, [])
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="+")
    parser.add_argument("--folds", default="0")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--switches", default=",".join(SWITCHES).replace("equaliser, roll-off", "equaliser; roll-off"))
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    names = [name.replace(";", ",") for name in arguments.switches.split(",")]
    rows: dict[str, list[tuple[float, int]]] = {name: [] for name in names}
    plan = [f"trainer.max_epochs={arguments.epochs}", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
    for fold in arguments.folds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                run = trained(name, [*arguments.overrides, f"protocol.fold={fold}", *plan], Path(folder))
                accuracy = json.loads((run / "metrics.json").read_text())["validation"]["accuracy"]
                rows[name].append((accuracy["value"], int(accuracy["n"])))
                said = f"fold {fold}, {name}: {100 * accuracy['value']:.1f} % of {accuracy['n']}"
                print(said, file=sys.stderr, flush=True)
                if arguments.output:
                    about = {"overrides": arguments.overrides, "epochs": arguments.epochs, "rows": rows}
                    write_json(arguments.output, about)
    print("| switch | validation accuracy | n |\n|---|---|---|")
    for name, pairs in rows.items():
        n = sum(n for _, n in pairs)
        rate = sum(p * n for p, n in pairs) / n
        low, high = wilson(rate, n)
        print(f"| {name} | {100 * rate:.1f} [{100 * low:.1f}, {100 * high:.1f}] | {n} |")


if __name__ == "__main__":
    main()
