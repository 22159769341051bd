"""What plain tools reach on the corpora of docs/results.md: a bare PyTorch tc-res8, and hmmlearn's GMM-HMM.

No line of Phonaut runs here. Both see the official split of FSDD, or Arabic speakers 1-14 / 15-17 / 18-20 (the
validation speakers choose nothing and are left out). The network gets 40 MFCC of a clip padded to one second, time
shift of up to 100 ms as its only augmentation, AdamW 0.01 with one cycle over 40 epochs of batches of 100; the HMMs
13 MFCC with deltas, 8 states x 2 diagonal Gaussians per word.

    python benchmarks/plain_tools.py DATA/fsdd --model tc-res8 --seed 0
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import librosa
import numpy as np
import soundfile
import soxr
import torch
from torch import nn

RATE = 16000


def recordings(folder: Path) -> list[tuple[Path, str, str]]:
    """(path, word, split) of the training and test recordings."""
    if folder.name.lower() == "fsdd":
        rows = []
        for path in sorted(folder.glob("recordings/*.wav")):
            digit, _, take = path.stem.split("_")
            rows.append((path, digit, "test" if int(take) < 5 else "train"))
        return rows
    rows = []
    for path in sorted(folder.glob("*/*.flac")):
        speaker = int(path.stem.split("_")[0])
        rows.append((path, path.parent.name, "train" if speaker <= 14 else "test" if speaker >= 18 else "unused"))
    return [row for row in rows if row[2] != "unused"]


def clip(path: Path) -> np.ndarray:
    """One second at 16 kHz, padded behind or cut."""
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    audio = audio.mean(axis=1)
    if rate != RATE:
        audio = soxr.resample(audio, rate, RATE)
    audio = audio[:RATE]
    return np.pad(audio, (0, RATE - len(audio)))


def mfcc(audio: np.ndarray, n_mfcc: int) -> np.ndarray:
    """(B, T, n_mfcc) by librosa."""
    frames = librosa.feature.mfcc(
        y=audio, sr=RATE, n_mfcc=n_mfcc, n_mels=40, n_fft=512, win_length=480, hop_length=160, fmin=20, fmax=4000
    )
    return frames.swapaxes(-1, -2).astype(np.float32)


class Block(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            nn.Conv1d(n_in, n_out, 9, 2, 4, bias=False), nn.BatchNorm1d(n_out), nn.ReLU(),
            nn.Conv1d(n_out, n_out, 9, 1, 4, bias=False), nn.BatchNorm1d(n_out),
        )  # fmt: skip
        self.shortcut = nn.Sequential(nn.Conv1d(n_in, n_out, 1, 2, bias=False), nn.BatchNorm1d(n_out), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.path(x) + self.shortcut(x))


def tc_res8(n_features: int, n_classes: int) -> nn.Module:
    """TC-ResNet8 (Choi 2019), bare."""
    return nn.Sequential(
        nn.Conv1d(n_features, 16, 3, padding=1, bias=False), nn.BatchNorm1d(16), nn.ReLU(),
        Block(16, 24), Block(24, 32), Block(32, 48),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, n_classes),
    )  # fmt: skip


def network_accuracy(data: dict, seed: int) -> float:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    audio, labels = data["train"]
    n_classes, epochs, size = int(labels.max()) + 1, 40, 100
    model = tc_res8(40, n_classes)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    steps = epochs * (len(audio) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=steps)
    features = mfcc(audio, 40)
    mean, std = features.mean((0, 1)), features.std((0, 1))
    for _ in range(epochs):
        order = rng.permutation(len(audio))[: len(audio) // size * size]
        for rows in order.reshape(-1, size):
            shift = rng.integers(-10, 11, size)  # frames of 10 ms
            x = np.stack([np.roll(features[r], s, axis=0) for r, s in zip(rows, shift, strict=True)])
            x = torch.from_numpy((x - mean) / std).transpose(1, 2)
            loss = nn.functional.cross_entropy(model(x), torch.from_numpy(labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    audio, labels = data["test"]
    with torch.no_grad():
        x = torch.from_numpy((mfcc(audio, 40) - mean) / std).transpose(1, 2)
        return float((model(x).argmax(1).numpy() == labels).mean())


def hmm_accuracy(data: dict, seed: int) -> float:
    from hmmlearn.hmm import GMMHMM

    def features(audio: np.ndarray) -> np.ndarray:
        spoken = np.trim_zeros(audio)  # constant frames of padding would break hmmlearn's covariances
        static = mfcc(spoken, 13).T
        return np.concatenate([static, librosa.feature.delta(static, width=5, mode="nearest")]).T.astype(np.float64)

    audio, labels = data["train"]
    frames = [features(a) for a in audio]
    n_states = 8
    transitions = np.triu(np.tril(np.ones((n_states, n_states)), 1)) / 2
    transitions[-1, -1] = 1.0
    models = []
    for label in range(int(labels.max()) + 1):
        mine = [x for x, y in zip(frames, labels, strict=True) if y == label]
        hmm = GMMHMM(n_states, n_mix=2, n_iter=10, random_state=seed, params="tmcw", init_params="mcw", min_covar=1e-2)
        hmm.startprob_, hmm.transmat_ = np.eye(n_states)[0], transitions
        models.append(hmm.fit(np.concatenate(mine), [len(x) for x in mine]))
    audio, labels = data["test"]
    scores = np.array([[hmm.score(x) for hmm in models] for x in map(features, audio)])
    return float((scores.argmax(1) == labels).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", choices=["tc-res8", "hmmlearn"], default="tc-res8")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = recordings(arguments.folder)
    words = sorted({word for _, word, _ in rows})
    data = {}
    for split in ("train", "test"):
        mine = [(clip(path), words.index(word)) for path, word, s in rows if s == split]
        data[split] = np.stack([audio for audio, _ in mine]), np.array([label for _, label in mine])
    started = time.perf_counter()
    accuracy = (network_accuracy if arguments.model == "tc-res8" else hmm_accuracy)(data, arguments.seed)
    seconds = time.perf_counter() - started
    result = {"folder": arguments.folder.name, "model": arguments.model, "seed": arguments.seed, "accuracy": accuracy}
    print(json.dumps(result | {"n": len(data["test"][1]), "seconds": round(seconds, 1)}))


if __name__ == "__main__":
    main()
