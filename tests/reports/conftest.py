"""Runs as training leaves them, without training: 12 words, three speakers, 30 epochs, known mistakes."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from omegaconf import OmegaConf

from phonaut.data.preparation.prepare import prepare
from phonaut.data.utterance import Utterance
from phonaut.metrics import accuracy, f1, recall
from phonaut.runs import Predictions

RATE = 16000
SCRIPT = "<script>document.title='run'</script>"
WORDS = ["yes", "no", "نعم", "لا", "да", "über", SCRIPT, "go", "stop", "left & right", "_unknown_", "never said"]
SPEAKERS = ["jackson", "الياس", 's"3'.rjust(3)]
NOTE = "by speaker: the three test speakers are in no other split; validation is cut from training by speaker"
COMMAND = "phonaut train dataset=folder 'dataset.data_folder=recordings (new), 2' seed=3 experiment_id=words-20260301"


class Clips:
    """A corpus of short noises: `n_takes` of every word but the last by every speaker, all of them tested."""

    name = "clips"
    clip_s: float | None = 1.0

    def __init__(self, folder: Path, n_takes: int = 4, words: list[str] = WORDS, seconds: float = 0.6) -> None:
        self.folder, self.n_takes, self.all_words, self.seconds = folder, n_takes, words, seconds

    def utterances(self) -> Iterator[Utterance]:
        for split, speakers in (("test", SPEAKERS), ("train", ["a", "b"]), ("validation", ["c"])):
            for w, word in enumerate(self.all_words):
                for s, speaker in enumerate(speakers):
                    n = self.n_takes if split == "test" else 1
                    for take in range(0 if word == "never said" and split == "test" else n):
                        name = f"{split}_{w}_{s}_{take}"
                        yield Utterance(name, self.written(name, w), split, speaker, word=word)

    def written(self, name: str, word: int) -> Path:
        path = self.folder / f"{name}.wav"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            seconds = np.arange(int(self.seconds * RATE)) / RATE
            rng = np.random.default_rng(list(name.encode()))
            pitch = np.cumsum(100 + 40 * seconds + 5 * rng.random()) / RATE
            pulses = np.sign(np.sin(2 * np.pi * pitch)) * np.sin(2 * np.pi * (500 + 150 * word) * seconds)
            sound = (0.3 * pulses + 0.02 * rng.standard_normal(len(seconds))) * np.hanning(len(seconds))
            soundfile.write(path, sound.astype(np.float32), RATE, subtype="PCM_16")
        return path

    def words(self) -> list[str] | None:
        return self.all_words

    def notes(self) -> list[str]:
        return [NOTE, "speakers are what stands before the first _ of the file name"]

    def refused(self) -> list[dict[str, str]]:
        reasons = ["truncated: 8000 of 32044 bytes are there", "no samples", "NaN or infinite samples"]
        return [{"path": f"clips/bad {i}.wav", "reason": reasons[i % 3]} for i in range(120)]


def scores_of(label: np.ndarray, n_classes: int, n_wrong: int) -> np.ndarray:
    """Scores that are right but for `n_wrong` items, which are taken for the class before, each surer than the last."""
    scores = np.random.default_rng(0).normal(size=(len(label), n_classes)).astype(np.float32)
    scores[np.arange(len(label)), label] = 8.0
    for rank, row in enumerate(np.linspace(0, len(label) - 1, n_wrong).astype(int)):
        scores[row, (label[row] - 1) % n_classes] = 9.0 + rank
    return scores


def predictions_of(corpus: Any, split: str, n_wrong: int, classes: list[str]) -> Predictions:
    table = corpus.utterances(split)
    rows = range(len(table))
    words = [table.word_name(row) for row in rows]
    label = np.array([classes.index(word) if word in classes else -1 for word in words])
    return Predictions(
        cut=np.array([table.id(row) for row in rows]),
        recording=np.array([table.recording(row) for row in rows]),
        speaker=np.array([table.speaker_name(row) for row in rows]),
        label=label,
        label_name=np.array(words),
        scores=scores_of(label, len(classes), n_wrong),
        start_s=np.zeros(len(table)),
        end_s=table.n_samples / corpus.sample_rate,
        classes=np.array(classes),
    )


def figures(p: Predictions) -> dict[str, dict[str, float]]:
    n = len(p.classes)
    rates = {
        "accuracy": accuracy(p.label, p.predicted, p.speaker),
        "recall": recall(p.label, p.predicted, p.speaker, n_classes=n),
        "f1": f1(p.label, p.predicted, p.speaker, n_classes=n),
    }
    return {name: rate.as_dict() for name, rate in rates.items()}


def history(n_epochs: int = 30) -> list[dict[str, float]]:
    lines = []
    for epoch in range(n_epochs):
        far = float(np.exp(-epoch / 6))
        wobble = float(np.sin(3.0 * epoch))
        lines.append(
            {
                "epoch": epoch,
                "step": 29 * (epoch + 1),
                "train/loss": 0.55 + 1.9 * far,
                "train/accuracy": 0.99 - 0.85 * far,
                "validation/loss": 0.08 + 2.3 * far + 0.03 * wobble,
                "validation/accuracy": 0.97 - 0.85 * far + 0.01 * wobble,
                "validation/recall": 0.96 - 0.85 * far,
                "validation/f1": 0.96 - 0.85 * far,
                "lr": 0.01 * float(np.sin(np.pi * (epoch + 1) / (n_epochs + 1)) ** 2),
                "seconds": 4.1 * (epoch + 1),
            }
        )
    return lines


def write(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_text(json.dumps(content, ensure_ascii=False))


def write_run(folder: Path, corpus: Any, n_wrong: int, *, splits: tuple[str, ...] = ("validation", "test")) -> Path:
    folder.mkdir(parents=True)
    config = {
        "target": "keyword",
        "seed": 3,
        "dataset": {"_target_": "phonaut.corpora.FolderCorpus", "data_folder": "recordings (new), 2"},
        "task": {"_target_": "phonaut.tasks.classification.Classification"},
        "features": {"_target_": "phonaut.features.MFCC", "sample_rate": RATE, "n_mfcc": 40},
        "trainer": {"max_epochs": 30, "devices": 1},
        "choices": {"dataset": "folder", "features": "mfcc", "normalizer": None, "model": "tc-res8"},
    }
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(config))
    machine = {"cpu": "AMD EPYC 7B13", "cores": 2, "memory_gb": 23, "gpu": None, "system": "Linux-6.1-x86_64"}
    write(
        folder,
        "environment.json",
        {
            "command": COMMAND,
            "resume_command": COMMAND,
            "seed": 3,
            "versions": {"python": "3.11.7", "phonaut": "0.1.0", "torch": "2.13.0+cpu", "lightning": "2.6.6"},
            "git": "e24e969",
            "machine": machine,
            "started": "2026-03-01T14:05:00+00:00",
            "seconds": 140.2,
        },
    )
    write(
        folder,
        "model.json",
        {
            "model": "tc-res8",
            "parameters": 65204,
            "macs": 1558000,
            "activation_bytes": 25856,
            "train_seconds": 123.4,
            "epochs": 30,
            "best_epoch": 23,
            "classes": corpus.words,
        },
    )
    write(folder, "history.json", history())
    about = {"name": corpus.name, "notes": corpus.notes, "folder": str(corpus.folder), "summary": corpus.summary}
    write(folder, "corpus.json", about)
    write(folder, "refused.json", corpus.refused)
    metrics = {}
    for split in splits:
        p = predictions_of(corpus, split, n_wrong if split == "test" else 1, corpus.words)
        p.save(folder / "predictions" / f"{split}.npz")
        metrics[split] = figures(p)
    write(folder, "metrics.json", metrics)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A prepared corpus with audio."""
    folder = tmp_path_factory.mktemp("clips")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHONAUT_CACHE", str(folder / "cache"))
        return prepare(Clips(folder / "audio"), sample_rate=RATE)


@pytest.fixture
def make_run(clips: Any, tmp_path: Path) -> Callable[..., Path]:
    """A finished run on the clips, with so many mistakes in its test split."""

    def make(n_wrong: int = 20, name: str = "run", **options: Any) -> Path:
        folder = tmp_path / name
        if folder.exists():
            shutil.rmtree(folder)
        return write_run(folder, clips, n_wrong, **options)

    return make
