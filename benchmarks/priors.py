"""Samples of a generator by its own prior and by densities of its codes; digits that hidden Markov models say.

    A="dataset=fsdd features.f_min=0 features.sample_rate=8000 features.n_mels=40 features.n_fft=256 \\
      features.win_length=200 features.hop_length=80"
    G=encoder.run=trained_models/generator
    H="model=gmmhmm model.n_states=8 model.n_mix=2 trainer.max_epochs=10"
    phonaut train $A features=melspec model=cvae trainer.max_epochs=6 experiment_id=generator
    phonaut train task=generation $G model=gmm experiment_id=gmm_8
    phonaut train task=generation $G model=gmm model.n_mix=32 experiment_id=gmm_32
    phonaut train task=generation $G model=gmmhmm model.n_states=16 model.n_mix=4 experiment_id=hmm
    phonaut train task=generation $G model=flow trainer.max_epochs=8 experiment_id=flow
    phonaut train dataset=fsdd $G model=gmm model.n_mix=4 trainer.max_epochs=8 experiment_id=digits_gmm
    phonaut train dataset=fsdd $G $H experiment_id=digits_hmm
    phonaut train $A features=melspec normalizer=null $H experiment_id=mel
    phonaut train $A features=mfcc features.n_mfcc=20 normalizer=null $H experiment_id=mfcc
    phonaut train $A features=melspec trainer.max_epochs=15 experiment_id=keyword
    cd trained_models
    python ../benchmarks/priors.py generator --priors gmm_8 gmm_32 hmm flow digits_gmm digits_hmm --output windows.json
    python ../benchmarks/priors.py generator --keyword keyword --priors digits_hmm --directly mel mfcc --output w.json

Windows are 2,000, beside as many of the test. Words are as long as their class in training; the keyword model hears
them as audio, and beside them test recordings, these through Griffin-Lim, and rebuilt by the generator.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from machine import machine, write_result
from phonaut.metrics import Estimate, wilson
from phonaut.runs.generation import Generating, prior_of
from phonaut.runs.load import LoadedRun, load
from phonaut.tasks.classification import own_corpus
from phonaut.tasks.generation_figures import Figures

SHOWN = ("mmd", "frechet", "coverage", "sample_precision", "sample_recall", "copying")
Words = Iterable[tuple[str, NDArray[np.float32]]]


def data_of(run: LoadedRun) -> Any:
    """The windows of the corpus of a generator."""
    task: Any = run.task
    data = task.data_of(run.config, own_corpus(run.config, run.folder), list(run.about["classes"]))
    task.open(run.model, data)
    return data


def windows(run: LoadedRun, priors: list[Path]) -> dict[str, Any]:
    """Figures of what each prior draws beside test windows."""
    figures = Figures(run.model, data_of(run))  # type: ignore[arg-type]
    generating: Any = run.generator()
    rows: dict[str, Any] = {}
    for prior in (None, *priors):
        with torch.inference_mode():
            samples = figures.samples("test", None if prior is None else drawn_by(generating, prior))
        found = figures.of_samples("test", samples)
        name = "own prior" if prior is None else str(prior)
        rows[name] = {key: estimate.as_dict() for key, estimate in found.items()}
        print(name, *(f"{key} {told(found[key])}" for key in SHOWN if key in found), sep="\n  ", flush=True)
    print("floor", *(f"{key} {told(found[f'{key}/floor'])}" for key in SHOWN[:2]), sep="\n  ")
    return rows


def drawn_by(generating: Generating, prior: Path) -> Any:
    """Draws of a density, for `Figures.samples`."""
    density = prior_of(generating, prior)

    def draw(condition: torch.Tensor) -> torch.Tensor:
        codes = density.codes_alone(len(condition), np.random.default_rng(0))
        return generating.model.network.decode(torch.from_numpy(codes), condition)

    return draw


def told(one: Estimate) -> str:
    """A figure with its interval."""
    return f"{one.value:.4g} [{one.low:.4g}, {one.high:.4g}]"


def words_of_prior(run: LoadedRun, prior: Path, n: int) -> Words:
    """Words by a density of codes of each class."""
    generating: Any = run.generator()
    about = load(prior).about
    for name, frames in zip(about["classes"], about["median_frames"], strict=True):
        seconds = frames * run.model.front_end.frame_shift_s
        for one in generating.sample(n, label=name, prior=prior, seconds=seconds):
            yield name, generating.audio(one)


def words_of_classes(folder: Path, n: int) -> Words:
    """Words by a density of frames of each class."""
    drawing: Any = load(folder).generator()
    for name in drawing.run.about["classes"]:
        yield from ((name, drawing.audio(one)) for one in drawing.sample(n, label=name))


def words_of_test(run: LoadedRun, how: str) -> Words:
    """Test recordings as they are, or from their frames."""
    data, model = data_of(run), run.model
    table, spans = data.prepared.utterances("test"), data.speech.spans["test"]
    for row in range(len(table)):
        audio = table.audio(row)
        with torch.inference_mode():
            frames = model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))[0][0]
        made = frames if how == "Griffin-Lim" else model.rebuilt(frames)  # type: ignore[operator]
        name = data.labels[spans.label[spans.offset[row]]]
        yield name, audio if how == "recordings" else model.audio(made.numpy())


def recognised(keyword: LoadedRun, words: Words) -> Estimate:
    """The share of words that the keyword model hears as what they should be."""
    right = [keyword.predict(audio, int(keyword.model.front_end.sample_rate)).label == name for name, audio in words]
    n = len(right)
    return Estimate(float(np.mean(right)), *wilson(sum(right), n), n, "Wilson's")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path)
    parser.add_argument("--priors", type=Path, nargs="*", default=[])
    parser.add_argument("--keyword", type=Path, help="hear words of the priors and of --directly, in place of windows")
    parser.add_argument("--directly", type=Path, nargs="*", default=[], help="densities of frames of each class")
    parser.add_argument("--words", type=int, default=30, help="of each class")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    run = load(arguments.generator)
    if arguments.keyword is None:
        rows = windows(run, arguments.priors)
    else:
        keyword, rows = load(arguments.keyword), {}
        sources = {str(prior): words_of_prior(run, prior, arguments.words) for prior in arguments.priors}
        sources |= {str(folder): words_of_classes(folder, arguments.words) for folder in arguments.directly}
        sources |= {how: words_of_test(run, how) for how in ("recordings", "Griffin-Lim", "rebuilt")}
        for name, words in sources.items():
            found = recognised(keyword, words)
            rows[name] = found.as_dict()
            print(f"{name}: recognised {told(found)} of {found.n}", flush=True)
    if arguments.output:
        write_result(arguments.output, {"machine": machine(), "rows": rows})


if __name__ == "__main__":
    main()
