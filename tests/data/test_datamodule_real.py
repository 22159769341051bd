"""Batches of a corpus as it lies on a disk."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phonaut.corpora import FSDD
from phonaut.data.augmentation.chain import Augmentation
from phonaut.data.classes import classes_of
from phonaut.data.datamodule import SpeechData
from phonaut.data.preparation.prepare import prepare
from phonaut.data.prepared import PreparedCorpus


@pytest.fixture(scope="module")
def fsdd(real_speech: Callable[[str], Path]) -> PreparedCorpus:
    return prepare(FSDD(data_folder=real_speech("fsdd"), clip_s=None), sample_rate=8000)


@pytest.mark.corpus
@pytest.mark.parametrize("target", ["keyword", "speaker"])
def test_every_clip_comes_once_with_its_own_audio_and_label(target: str, fsdd: PreparedCorpus) -> None:
    data = SpeechData(fsdd, target=target, classes=classes_of(fsdd, target), batch_size=64, seed=0)
    table, names = fsdd.utterances("train"), data.label_names("train")
    rows: list[int] = []
    n_read = n_padded = 0
    for batch in data.batches("train"):
        rows += batch.rows.tolist()
        n_read += int(batch.audio_lengths.sum())
        n_padded += batch.audio.numel()
        for row, label in zip(batch.rows.tolist(), batch.labels.tolist(), strict=True):
            digit, speaker, _ = Path(table.recording(row)).stem.split("_")
            assert data.classes[label] == names[row] == (digit if target == "keyword" else speaker)
        audio, _ = soundfile.read(table.recording(int(batch.rows[0])), dtype="float32")
        assert (batch.audio[0, : len(audio)].numpy() == audio).all()
        assert batch.audio_lengths[0] == len(audio)
    assert Counter(rows) == Counter(range(len(table)))
    assert n_padded / n_read < 1.25, "clips of like duration share a batch"


@pytest.mark.corpus
def test_augmented_speech_stays_finite_and_differs_by_epoch(fsdd: PreparedCorpus) -> None:
    data = SpeechData(fsdd, target="keyword", classes=classes_of(fsdd, "keyword"), batch_size=200, seed=0)
    settings = {"speed_low": 0.85, "speed_high": 1.15, "timeshift_ms": 100, "snr_low_db": 5, "snr_high_db": 30}
    augment = Augmentation(sample_rate=8000, level_low_db=-6, level_high_db=6, **settings)
    batch = next(iter(data.batches("test")))
    first = augment(batch, seed=0)
    batch.epoch = 1
    second = augment(batch, seed=0)
    assert np.isfinite(first.audio.numpy()).all()
    assert (first.audio_lengths != second.audio_lengths).double().mean() > 0.8
    assert (first.span_end_s == first.audio_lengths.double() / 8000).all()
