"""Two plain tools on the phones of benchmarks/phones.py: hmmlearn's GMM-HMM, and a bidirectional LSTM in bare PyTorch.

Both get the same folds and the same frames (13 MFCC with deltas, CMVN). hmmlearn: 3 states x 8 components a class, all
else its defaults; the answer is the class of the highest score, with log-priors of the training part. The LSTM: 128
units each way, the mean of its states into a linear layer, Adam 0.001, batches of 64, 15 epochs, of which the
validation part chooses. The predictions are written as runs are, so that `phonaut compare` takes them.

    python benchmarks/plain_phones.py alignments/speechocean762/pocketsphinx.ctm --folder trained_models/phones/folds
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hmmlearn.hmm import GMMHMM
from omegaconf import OmegaConf
from torch import nn

from phonaut.config.compose import compose
from phonaut.files import write_json
from phonaut.models.em_classifier import Segments
from phonaut.models.frame_cache import FrameCache
from phonaut.runs import Predictions
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data
from phonaut.tasks.scoring import figures
from phones import COMMON, FOLDS, MFCC

logging.getLogger("hmmlearn").setLevel(logging.ERROR)
UNITS, EPOCHS, BATCH, RATE = 128, 15, 64, 1e-3


class BareLSTM(nn.Module):
    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_features, UNITS, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * UNITS, n_classes)

    def forward(self, x: Any) -> torch.Tensor:
        states, lengths = nn.utils.rnn.pad_packed_sequence(self.lstm(x)[0], batch_first=True)
        return self.linear(states.sum(dim=1) / lengths[:, None])


def packed(segments: Segments, rows: np.ndarray) -> Any:
    """Some segments."""
    some = segments.select(rows)
    parts_ = torch.from_numpy(np.asarray(some.frames, np.float32)).split(some.lengths.tolist())
    return nn.utils.rnn.pack_sequence(list(parts_), enforce_sorted=False)


def lstm(train: Segments, held: Segments, test: Segments, n_classes: int) -> tuple[np.ndarray, int]:
    """Scores of the test segments, and the number of parameters."""
    torch.manual_seed(0)
    net = BareLSTM(train.frames.shape[1], n_classes)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    best, answer = 0.0, np.zeros((len(test), n_classes))

    def scores(segments: Segments) -> np.ndarray:
        with torch.no_grad():
            return np.concatenate(
                [net(packed(segments, rows)).numpy() for rows in np.array_split(np.arange(len(segments)), 20)]
            )

    for _ in range(EPOCHS):
        for rows in torch.randperm(len(train)).split(BATCH):
            loss = nn.functional.cross_entropy(net(packed(train, rows.numpy())), torch.from_numpy(train.labels)[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy = float((scores(held).argmax(axis=1) == held.labels).mean())
        if accuracy > best:
            best, answer = accuracy, scores(test)
    return answer, sum(p.numel() for p in net.parameters())


def hmmlearn(train: Segments, held: Segments, test: Segments, n_classes: int) -> tuple[np.ndarray, int]:
    """The same, of a GMM-HMM for each class."""
    answer, size = np.empty((len(test), n_classes)), 0
    priors = np.bincount(train.labels, minlength=n_classes) / len(train)
    ends = np.cumsum(test.lengths)
    for c in range(n_classes):
        own = train.select(np.flatnonzero(train.labels == c))
        model = GMMHMM(n_components=3, n_mix=8, random_state=0).fit(own.frames.astype(np.float64), own.lengths)
        for i, (end, n) in enumerate(zip(ends, test.lengths, strict=True)):
            answer[i, c] = model.score(test.frames[end - n : end].astype(np.float64)) + np.log(priors[c])
        size += model.means_.size + model.covars_.size + model.weights_.size + model.transmat_.size + 3
    return answer, size


TOOLS = {"hmmlearn": hmmlearn, "bare-lstm": lstm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alignment", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("trained_models/phones/folds"))
    parser.add_argument("--only", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for fold in range(FOLDS):
        words = [*COMMON, *MFCC, "model=majority", f"dataset.alignment={arguments.alignment.resolve()}"]
        config = compose([*words, f"protocol.fold={fold}"])
        data = speech_data(config, parts.prepared_corpus(config))
        cache = FrameCache(parts.speech_model(config, len(data.classes)), data)
        train, held, test = (cache.segments(split) for split in ("train", "validation", "test"))
        table, spans = data.prepared.utterances("test"), data.spans["test"]
        rows = spans.row
        for name in arguments.only:
            run = arguments.folder / name / f"{fold}_fold" / name
            if (run / "metrics.json").exists():
                continue
            started = time.perf_counter()
            found, size = TOOLS[name](train, held, test, len(data.classes))
            seconds = round(time.perf_counter() - started, 1)
            predictions = Predictions(
                cut=np.array([table.id(row) for row in rows]),
                recording=np.array([table.recording(row) for row in rows]),
                speaker=test.speakers,
                label=test.labels,
                label_name=np.array(data.label_names("test")),
                scores=found.astype(np.float32),
                start_s=spans.start_s,
                end_s=spans.end_s,
                classes=np.array(data.classes),
            )
            predictions.save(run / "predictions" / "test.npz")
            OmegaConf.save(config, run / "config.yaml")
            about = {"model": name, "parameters": size, "train_seconds": seconds, "classes": data.classes}
            write_json(run / "model.json", about)
            rates = figures(predictions)
            write_json(run / "metrics.json", {"test": rates})
            print(
                f"fold {fold}, {name}: {100 * rates['accuracy']['value']:.1f} % of {len(test)}, {seconds:g} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
