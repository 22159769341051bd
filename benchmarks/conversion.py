"""Men's voices made women's and back on the adults of speechocean762, heard by classifiers of gender and of phones.

    phonaut align dataset=speechocean762
    python benchmarks/conversion.py --alignment alignments/speechocean762/hmm.ctm
    python benchmarks/conversion.py --alignment alignments/speechocean762/hmm.ctm --test cvae 1.5

Windows of 20 frames of 80 mels around phones. Generators learn the speakers of group A. Trials are chosen on group B,
and the chosen one is heard once on group C (`--test`). A judge never heard whom it judges; the strict judge of genders
has heard none of the generator's speakers either. Speakers 2380 and 2430 are left out: their files call them female,
and the median of their F0 is 126 and 116 Hz, where all other women have 193 Hz or more and all men 158 or less.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.corpora.hashing import by_hash
from phonaut.metrics import wilson
from phonaut.models.frame_cache import FrameCache
from phonaut.runs import Run, train
from phonaut.runs.load import load
from phonaut.tasks.classification import own_corpus
from phonaut.tasks.conversion import Conversion
from phonaut.tasks.generation_figures import Figures
from phonaut.tasks.judge import Judge

ADULT, STRANGE = 18, ("2380", "2430")
HALF_S = 0.095  # of a window of 20 frames
MEL = ["features=melspec", "features.n_mels=80", "features.n_fft=512", "features.win_length=400", "features.f_min=0",
       "features.top_db=null", "features.amin=1.0e-8", "normalizer=null", "trainer.enable_progress_bar=false",
       "trainer.accelerator=cpu"]  # fmt: skip
GENDER = ["target=gender", "model=tc-res8", "trainer.max_epochs=25", "batch_size=16", "checkpoint=last",
          "augmentation.speed_low=1", "augmentation.speed_high=1", "augmentation.timeshift_ms=0"]  # fmt: skip
PHONE = ["target=phone", "model=tc-res8", "augmentation=none", "trainer.max_epochs=12", "context_s=0.06",
         "checkpoint=last"]  # fmt: skip
GENERATORS = {
    "cvae": ["model=cvae"],
    "cvae_speaker": ["model=cvae", "task.condition=[speaker]"],
    "cvae_both": ["model=cvae", "task.condition=[label,speaker]"],
    "fhvae": ["model=fhvae"],
}
STRENGTHS = {"cvae": (1.0, 1.5, 2.0), "cvae_speaker": (1.0,), "cvae_both": (1.0,), "fhvae": (1.0, 1.5, 2.0)}
JUDGES = {
    "validation": ("genderAC", "genderC", "phoneC"),
    "test": ("windowsAB", "windowsB", "genderAB", "genderB", "phoneB", "phoneB_long"),
}
SAID = ("true", "reconstructed", "converted")


def lines(source: Path, name: str) -> list[list[str]]:
    """Lines of a file of the Kaldi directory, in two."""
    return [line.split(None, 1) for line in (source / "train" / name).read_text().splitlines()]


def groups_of(source: Path) -> dict[str, list[str]]:
    """Adults in the order of the hash of their names: four women and four men, three and three, the others."""
    ages, genders = dict(lines(source, "spk2age")), dict(lines(source, "spk2gender"))
    of = {g: by_hash([s for s, age in ages.items() if int(age) >= ADULT and genders[s] == g]) for g in "fm"}
    parts = {"A": slice(0, 4), "B": slice(4, 7), "C": slice(7, None)}
    return {name: of["f"][part] + of["m"][part] for name, part in parts.items()}


def write_adults(source: Path, folder: Path, speakers: set[str]) -> None:
    """A Kaldi directory of some speakers; recordings are where they are."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    said = {utterance for utterance, speaker in lines(source, "utt2spk") if speaker in speakers}
    for name in ("wav.scp", "text", "utt2spk", "spk2gender", "spk2age"):
        kept = [line for line in lines(source, name) if line[0] in said | speakers]
        (folder / "train" / name).write_text("".join(f"{first}\t{rest}\n" for first, rest in kept))
    for name in ("WAVE", "resource"):
        if not (folder / name).exists():
            (folder / name).symlink_to((source / name).resolve())


def write_windows(adults: Path, alignment: Path, folder: Path) -> None:
    """The same corpus as pieces of 20 frames around phones: a judge of recordings has never heard so little of one."""
    (folder / "train").mkdir(parents=True, exist_ok=True)
    speaker_of, pieces, times = dict(lines(adults, "utt2spk")), list[str](), dict[str, list[tuple[float, float, str]]]()
    for utterance, _, start, length, phone, *_ in map(str.split, alignment.read_text().splitlines()):
        if utterance in speaker_of:
            times.setdefault(utterance, []).append((float(start), float(start) + float(length), phone))
    for utterance, phones in times.items():
        middles = [(start + end) / 2 for start, end, phone in phones if phone not in ("SIL", "SPN")]
        last = max(end for _, end, _ in phones)
        pieces += [f"{utterance}-{n:03d}\t{utterance} {at - HALF_S:.4f} {at + HALF_S:.4f}\n"
                   for n, at in enumerate(middles) if HALF_S < at < last - HALF_S]  # fmt: skip
    (folder / "train" / "segments").write_text("".join(pieces))
    owners = (piece.split("\t")[0] for piece in pieces)
    (folder / "train" / "utt2spk").write_text("".join(f"{name}\t{speaker_of[name[:-4]]}\n" for name in owners))
    for name in ("wav.scp", "spk2gender"):
        (folder / "train" / name).write_text((adults / "train" / name).read_text())
    for name in ("WAVE", "resource"):
        if not (folder / name).exists():
            (folder / name).symlink_to((adults / name).resolve())


def words_of(arguments: argparse.Namespace) -> dict[str, list[str]]:
    """The words of every run."""
    groups = groups_of(arguments.source)
    kept = {name: [s for s in of if s not in STRANGE] for name, of in groups.items()}
    adults = arguments.folder / "adults"
    write_adults(arguments.source, adults, {s for of in kept.values() for s in of})

    def split(test: list[str], validation: list[str]) -> list[str]:
        lists = {"test": ",".join(test), "validation": ",".join(validation)}
        return ["protocol=by_speaker", *(f"protocol.{name}_speakers=[{of}]" for name, of in lists.items())]

    write_windows(adults, arguments.alignment, arguments.folder / "windows")
    few, some = [f"dataset.data_folder={adults}"], [groups["A"][3], groups["A"][6]]
    aligned = [f"dataset.alignment={arguments.alignment.resolve()}"]
    words = {
        "genderAB": [*few, *GENDER, *split(kept["C"], some)],
        "genderAC": [*few, *GENDER, *split(kept["B"], some)],
        "genderB": [*few, *GENDER, *split(kept["C"], kept["A"])],
        "genderC": [*few, *GENDER, *split(kept["B"], kept["A"])],
        "phoneB": [*aligned, *PHONE, *split(groups["C"], groups["A"])],  # and all children
        "phoneC": [*aligned, *PHONE, *split(groups["B"], groups["A"])],
    }
    short = [f"dataset.data_folder={arguments.folder / 'windows'}", *GENDER, "batch_size=64", "trainer.max_epochs=15"]
    words["windowsAB"] = [*short, *split(kept["C"], some)]
    words["windowsB"] = [*short, *split(kept["C"], kept["A"])]
    words["phoneB_long"] = [*words["phoneB"], "trainer.max_epochs=24"]
    for name, model in GENERATORS.items():
        words[name] = [*few, *aligned, "dataset.min_phone_count=20", "target=phone", *model, "trainer.max_epochs=30",
                       *split(kept["C"], kept["B"])]  # fmt: skip
    return {name: ["dataset=speechocean762", *MEL, *of] for name, of in words.items()}


def trained(folder: Path, name: str, words: list[str]) -> Path:
    """The folder of a run, trained if it is not."""
    model = next(word.partition("=")[2] for word in words if word.startswith("model="))
    path = folder / name / model
    if not path.exists() or not Run(path).metrics:
        train(compose(words), path, ["phonaut", "train", *words])
    return path


def heard(generator: Path, judges: list[Path], split: str, conversions: list[Conversion]) -> list[dict[str, Any]]:
    """What each judge hears in the windows of a split, for each conversion."""
    run = load(generator)
    model: Any = run.model
    data = run.task.data_of(run.config, own_corpus(run.config, run.folder), list(run.about["classes"]))
    data.frames_of = FrameCache(model, data.speech).frames
    figures, found = Figures(model, data), []
    with torch.inference_mode():
        for conversion in conversions:
            one: dict[str, Any] = {}
            for judge in judges:
                by = Judge(load(judge), run.config, run.folder, conversion)
                rates = by.of_conversion(figures, split, conversion)
                one[judge.parent.name] = {key.rpartition("/")[2]: rate.as_dict() for key, rate in rates.items()}
            found.append(one)
    return found


def listened(arguments: argparse.Namespace, generator: Path, judge: Path, n_each: int = 6) -> dict[str, Any]:
    """Whole recordings of the men of group C as sounds: the share heard as female, and the median F0, by Harvest."""
    import pyworld

    speaker_of = dict(lines(arguments.source, "utt2spk"))
    genders, files = dict(lines(arguments.source, "spk2gender")), dict(lines(arguments.source, "wav.scp"))
    men = [s for s in groups_of(arguments.source)["C"] if genders[s] == "m"]
    paths = [arguments.source / files[u] for s in men for u in [u for u, of in speaker_of.items() if of == s][:n_each]]
    making, by, found = load(generator).generator(), load(judge), {}
    how = {"source": "gender:m", "target": "gender:f", "strength": float(arguments.test[1])}
    ways: dict[str, dict[str, Any]] = {
        "recorded": {}, "reconstructed": {}, "griffin_lim": how, "world": {**how, "vocoder": "world"},
    }  # fmt: skip
    rate = int(making.model.front_end.sample_rate)
    with tempfile.TemporaryDirectory() as folder:
        for way, options in ways.items():
            made = making.reconstruct(paths, **options)
            sounds = [one.audio if way == "recorded" else making.audio(one) for one in made]
            written = [Path(folder) / f"{way}_{path.stem}.wav" for path in paths]
            for path, sound in zip(written, sounds, strict=True):
                soundfile.write(path, sound, rate)
            names = [answer.label for answer in by.task.predict(by, written)]
            f0 = [pyworld.harvest(np.asarray(sound, np.float64), rate)[0] for sound in sounds]
            middle = [float(np.median(one[one > 0])) for one in f0]
            share = names.count("f") / len(names)
            found[way] = {
                "female": share,
                "interval": wilson(share * len(names), len(names)),
                "n": len(names),
                "f0_hz": float(np.median(middle)),
                "f0_quartiles": np.quantile(middle, [0.25, 0.75]).tolist(),
            }
            print(f"| {way} | {100 * share:.0f} % of {len(names)} | {found[way]['f0_hz']:.0f} Hz |", flush=True)
    return found


def cell(rate: dict[str, Any]) -> str:
    """A share with its interval, in per cent."""
    return f"{100 * rate['value']:.1f} [{100 * rate['low']:.0f}, {100 * rate['high']:.0f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--source", type=Path, default=Path(os.environ.get("PHONAUT_DATA", "datasets")) / "speechocean762"
    )
    parser.add_argument("--alignment", type=Path, required=True, help="phones, by phonaut align")
    parser.add_argument("--folder", type=Path, default=Path("trained_models/conversion"))
    parser.add_argument("--only", nargs="*", choices=list(GENERATORS), default=list(GENERATORS))
    parser.add_argument("--test", nargs=2, metavar=("GENERATOR", "STRENGTH"), help="the chosen one, on group C")
    parser.add_argument("--listen", action="store_true", help="with --test: sounds too, by Griffin-Lim and WORLD")
    parser.add_argument("--to", nargs="*", default=["gender:f"], help="conversions")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    words, rows = words_of(arguments), []
    split, trials = "validation", {name: STRENGTHS[name] for name in arguments.only}
    if arguments.test:
        split, trials = "test", {arguments.test[0]: (float(arguments.test[1]),)}
    judges = [trained(arguments.folder, name, words[name]) for name in JUDGES[split]]
    for name, strengths in trials.items():
        generator = trained(arguments.folder, name, words[name])
        conversions = [Conversion(target, strength) for target in arguments.to for strength in strengths]
        for conversion, one in zip(conversions, heard(generator, judges, split, conversions), strict=True):
            rows.append({"generator": name, **conversion._asdict(), **one})
            shown = [f"{judge}: {', '.join(cell(rates[what]) for what in SAID)}, n={rates['true']['n']}"
                     for judge, rates in one.items()]  # fmt: skip
            print(f"| {name}, {conversion.target}, {conversion.strength:g} |", " | ".join(shown), "|", flush=True)
    heard_whole = None
    if arguments.listen and arguments.test:
        heard_whole = listened(
            arguments, trained(arguments.folder, arguments.test[0], words[arguments.test[0]]), judges[0]
        )
    known = json.loads(arguments.output.read_text()) if arguments.output and arguments.output.exists() else {}
    write_result(arguments.output, {**known, split: {"rows": rows, "sounds": heard_whole, "machine": machine()}})


if __name__ == "__main__":
    main()
