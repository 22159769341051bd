"""Generated segments beside those of training: rare phones, and words of few speakers; with and without, paired.

    phonaut align dataset=speechocean762
    python benchmarks/generated_data.py phones alignments/speechocean762/hmm.ctm --output benchmarks/results/...json
    python benchmarks/generated_data.py words $PHONAUT_DATA/arabic_speech_commands --output benchmarks/results/...json

`phones`: fold 0 of speechocean762; a generator of its training speakers, made for phones, and one without a condition
with a mixture of its codes by phone. `repeated` are segments of training again, as many as are drawn. `words`: three
speakers at a time with labels, five others tested; a generator hears these three and nine others without labels. Of
each kind of segments the validation split chooses how many, or how many epochs; the test is read once. Differences are
to the same model without generated segments, over all seeds and sets of speakers, by a bootstrap over test speakers.
What is done already is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from machine import machine, write_result
from phonaut.config.compose import compose
from phonaut.data.added_frames import AddedFrames
from phonaut.data.draws import hash_of, nth_key, uniform
from phonaut.metrics.classification import accuracy_statistic, precision_recall_f1, tallies_by_speaker
from phonaut.metrics.intervals import resampled
from phonaut.models.frame_cache import FrameCache
from phonaut.runs import Run, train
from phonaut.tasks import added_data, build

FEATURES = ["features=melspec", "features.n_mels=40", "features.n_fft=512", "features.win_length=400",
            "features.top_db=null", "features.amin=1e-8"]  # fmt: skip
COMMON = ["recipe=none", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
GENERATOR = ["model=cvae", "model.channels=[32,64,128]", "model.hidden_size=256", "model.latent_size=32",
             "batch_size=256", "optimizer=adam"]  # fmt: skip
VALIDATION, TEST = [13, 14, 15], [16, 17, 18, 19, 20]
SETS = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
Statistic = Callable[[np.ndarray], np.ndarray]


def trained(folder: Path, *words: str) -> Run:
    """A run, from where it is."""
    run = train(compose([*COMMON, *words]), folder, ["benchmarks/generated_data.py", *words])
    assert run is not None
    return run


def tallies(runs: Sequence[Run], split: str) -> np.ndarray:
    """Counts by speaker and class over all runs, `(G, 3, C)`."""
    tables = [run.predictions(split) for run in runs]
    label, predicted, speaker = (
        np.concatenate(columns) for columns in zip(*((t.label, t.predicted, t.speaker) for t in tables), strict=True)
    )
    known = label >= 0
    return tallies_by_speaker(label[known], predicted[known], speaker[known], len(tables[0].classes))


def interval(counts: np.ndarray, statistic: Statistic) -> dict[str, float]:
    """A figure with its interval over speakers."""
    drawn = resampled(counts, statistic)
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return {"value": float(statistic(counts.sum(axis=0).astype(float))), "low": float(low), "high": float(high)}


def compared(base: np.ndarray, other: np.ndarray, statistic: Statistic) -> dict[str, float]:
    """The difference of two of them on the same items, paired by speaker."""
    return interval(np.stack([base, other], axis=1), lambda sums: statistic(sums[..., 1, :, :]) - statistic(
        sums[..., 0, :, :]))  # fmt: skip


def table(rows: dict[str, list[list[Run]]], statistics: dict[str, Statistic], chosen_by: str) -> dict[str, Any]:
    """Of every way the variant that validation chooses, on the test, beside the first way."""
    found: dict[str, Any] = {}
    base: np.ndarray | None = None
    for name, variants in rows.items():
        held = [interval(tallies(runs, "validation"), statistics[chosen_by])["value"] for runs in variants]
        runs = variants[int(np.argmax(held))]
        counts = tallies(runs, "test")
        found[name] = {"validation": held, "runs": [str(run.folder) for run in runs], "n": int(counts[:, 1].sum())}
        found[name]["epochs"] = runs[0].config.trainer["max_epochs"]
        found[name]["generated"] = runs[0].model.get("generated", {})
        for what, statistic in statistics.items():
            found[name][what] = interval(counts, statistic)
            if base is not None:
                found[name][f"{what} - {next(iter(rows))}"] = compared(base, counts, statistic)
        base = counts if base is None else base
        print(name, [f"{one:.3f}" for one in held], {key: [round(v, 4) for v in value.values()] for key, value in
              found[name].items() if isinstance(value, dict) and "low" in value}, flush=True)  # fmt: skip
    return found


def repeated(run: Any, chosen: Any, config: Any, data: Any) -> AddedFrames:
    """In place of `added_data.drawn`: segments of training again, each in its recording."""
    spans, dataset = data.spans["train"], data.dataset("train")
    frames, offset = FrameCache(build.speech_model(config, len(data.classes)), data).frames("train")
    counts = np.bincount(spans.label, minlength=len(data.classes))
    missing = np.maximum(int(np.ceil(chosen.share * np.median(counts))) - counts, 0)
    again = []
    for c in np.flatnonzero(missing).tolist():
        keys = nth_key(np.full(missing[c], hash_of(data.classes[c]), np.uint64), np.arange(missing[c]))
        own = np.flatnonzero(spans.label == c)
        again.append(own[(uniform(keys, seed=config.seed, epoch=0, stream="again")[:, 0] * len(own)).astype(int)])
    span = np.concatenate(again)
    at = np.repeat(np.arange(len(dataset.windows)), dataset.windows.n_spans)
    which = at[np.argsort(dataset.windows.span, kind="stable")[span]]
    lengths, windows = np.diff(offset)[which], dataset.windows
    return AddedFrames(
        np.concatenate([frames[offset[w] : offset[w + 1]] for w in which]),
        np.concatenate([[0], np.cumsum(lengths)]), windows.row[which], 1 + np.arange(len(which)), windows.start[which],
        windows.stop[which], np.arange(len(which) + 1), dataset.spans.start_s[span], dataset.spans.end_s[span],
        dataset.spans.label[span],
    )  # fmt: skip


def phones(ctm: Path, folder: Path, seeds: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Rare phones."""
    corpus = ["dataset=speechocean762", "target=phone", f"dataset.alignment={ctm}", "dataset.min_phone_count=20"]
    more = [*FEATURES, *GENERATOR, "trainer.max_epochs=20"]
    made = trained(folder / "of_phones" / "cvae", *corpus, *more, "task.condition=[label]")
    free = trained(folder / "free" / "cvae", *corpus, *more)
    prior = trained(folder / "prior" / "gmm", *corpus, f"encoder.run={free.folder}", "model=gmm", "model.n_mix=4",
                    "normalizer=null", "trainer.max_epochs=15")  # fmt: skip
    shares = (1.0, 2.0)
    sample = "generated.how=sample"
    ways = {
        "recorded": [[]],
        "repeated": [[f"generated.run={made.folder}", sample, f"generated.share={s}"] for s in shares],
        "drawn, made for phones": [[f"generated.run={made.folder}", sample, f"generated.share={s}"] for s in shares],
        "drawn of a mixture of codes": [
            [f"generated.run={free.folder}", sample, f"generated.prior={prior.folder}", f"generated.share={s}"]
            for s in shares
        ],
        "new voices": [[f"generated.run={free.folder}", "generated.how=voices", f"generated.share={s}"]
                       for s in (0.5, 1.0)],
    }  # fmt: skip
    models = {
        "gmm": ["model=gmm", "model.n_mix=8", "trainer.max_epochs=15"],
        "gru": ["model=gru", "model.hidden_size=64", "augmentation=none", "batch_size=200", "optimizer.lr=0.003",
                "trainer.max_epochs=6"],
    }  # fmt: skip
    found: dict[str, Any] = {}
    drawn = added_data.drawn
    for model, words in models.items():
        if only and model not in only:
            continue
        rows: dict[str, list[list[Run]]] = {}
        for i, (name, variants) in enumerate(ways.items()):
            added_data.drawn = repeated if name == "repeated" else drawn
            rows[name] = [
                [trained(folder / f"{model}_{i}_{j}_{seed}" / model, *corpus, *FEATURES, *words, *variant,
                         f"seed={seed}") for seed in range(seeds)]
                for j, variant in enumerate(variants)
            ]  # fmt: skip
        added_data.drawn = drawn
        # The rare: phones with fewer segments than the median in training, whom `sample` fills at share 1.
        generated = rows["drawn, made for phones"][0][0]
        classes = list(generated.model["classes"])
        rare = np.array([classes.index(name) for name in generated.model["generated"]["segments"]])

        def of_rare(tallies: np.ndarray, k: int, rare: np.ndarray = rare) -> np.ndarray:
            return np.nanmean(precision_recall_f1(tallies)[..., k, :][..., rare], axis=-1)

        statistics: dict[str, Statistic] = {
            "accuracy": accuracy_statistic,
            "recall": lambda t: np.nanmean(precision_recall_f1(t)[..., 1, :], axis=-1),
            "recall of rare phones": lambda t, of=of_rare: of(t, 1),
            "f1 of rare phones": lambda t, of=of_rare: of(t, 2),
        }
        print(model, f"{len(rare)} rare of {len(classes)}")
        found[model] = {"rare": [classes[c] for c in rare], "rows": table(rows, statistics, "recall of rare phones")}
    return found


def speakers_key(name: str, numbers: Sequence[int]) -> str:
    """`protocol.NAME=[...]` of speakers by their numbers."""
    return f"protocol.{name}=[{','.join(f'{n:08d}' for n in numbers)}]"


def words(corpus: Path, folder: Path, seeds: int, only: Sequence[str] = ()) -> dict[str, Any]:
    """Words of few speakers."""
    held = [speakers_key("validation_speakers", VALIDATION), speakers_key("test_speakers", TEST)]
    few = []
    for i, numbers in enumerate(SETS):
        few.append(folder / "data" / f"few_{i}")
        for path in corpus.glob("*/*.flac"):
            if int(path.name.partition("_")[0]) in {*numbers, *VALIDATION, *TEST}:
                there = few[-1] / path.parent.name / path.name
                there.parent.mkdir(parents=True, exist_ok=True)
                if not there.exists():
                    there.symlink_to(path.resolve())
    more = [*FEATURES, *GENERATOR, "task.shift_frames=10", "dataset=folder", *held]
    of_many = trained(folder / "many" / "cvae", *more, f"dataset.data_folder={corpus}", "trainer.max_epochs=15")
    base = ["model=tc-res8", "augmentation=none", "batch_size=50"]
    epochs = 15
    many = [f"generated.run={of_many.folder}"] * len(few)
    ways: dict[str, list[tuple[int, list[list[str]]]]] = {
        "recorded": [(epochs * n, [[]] * len(few)) for n in (1, 2)],
    }
    for name, runs, how in (
        ("other voices, 12 speakers", many, "convert"),
        ("new voices, 12 speakers", many, "voices"),
    ):
        ways[name] = [
            (epochs, [[run, f"generated.how={how}", f"generated.share={share}"] for run in runs]) for share in (1.0,)
        ]
    rows: dict[str, list[list[Run]]] = {}
    for i, (name, variants) in enumerate(ways.items()):
        rows[name] = [
            [
                trained(folder / f"words_{i}_{j}_{k}_{seed}" / "tc-res8", "dataset=folder", *held, *FEATURES, *base,
                        f"dataset.data_folder={few[k]}", f"trainer.max_epochs={n}", f"seed={seed}", *variant[k])
                for k in range(len(few)) for seed in range(seeds)
            ]
            for j, (n, variant) in enumerate(variants)
        ]  # fmt: skip
    return {"tc-res8": table(rows, {"accuracy": accuracy_statistic}, "accuracy")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["phones", "words"])
    parser.add_argument("corpus", type=Path, help="the alignment, or the folder of words")
    parser.add_argument("--folder", type=Path, default=Path("trained_models/generated_data"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="*", default=[], help="models of phones")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    part = {"phones": phones, "words": words}[arguments.part]
    found = part(arguments.corpus.resolve(), arguments.folder, arguments.seeds, arguments.only)
    write_result(arguments.output, {"machine": machine(), "part": arguments.part, "models": found})


if __name__ == "__main__":
    main()
