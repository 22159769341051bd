"""How far audio made of true frames lies from the recordings, of linear spectra and of mel spectra.

    python benchmarks/heard_front_ends.py shared/data/fsdd

Frames of recordings of FSDD's test takes are turned into audio, without the phase of the recording and with it. All are
measured by one ruler: 201 bins of 25 ms every 10 ms at 8 kHz, at equal loudness.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
import torch

from phonaut.features import MelSpectrogram, Spectrogram
from phonaut.features.inversion import invert
from phonaut.features.loudness import playable
from phonaut.metrics import mean_over
from phonaut.metrics.generation import log_spectral_distance, mel_cepstral_distortion
from phonaut.tasks.cepstral import cepstra

OPTIONS = {"sample_rate": 8000, "n_fft": 400, "win_length": 200, "hop_length": 80, "top_db": None, "amin": 1e-8}
FRONT_ENDS = {
    "linear, 201 bins": Spectrogram(**OPTIONS),
    "80 mels": MelSpectrogram(**OPTIONS, n_mels=80, f_min=0.0),
    "40 mels": MelSpectrogram(**OPTIONS, n_mels=40, f_min=0.0),
}
RULER = FRONT_ENDS["linear, 201 bins"]


def main() -> None:
    """Measure, and print a line for each front end and start."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=60, help="recordings")
    options = parser.parse_args()
    files = sorted(options.folder.glob("recordings/*_[0-4].wav"))
    files = [files[i] for i in np.linspace(0, len(files) - 1, options.n).round().astype(int)]
    speakers = np.array([path.stem.split("_")[1] for path in files])
    for name, front_end in FRONT_ENDS.items():
        for phase in (False, True):
            sums = np.array([measured(path, front_end, phase) for path in files])
            lsd, mcd = (mean_over(sums[:, [i, 2]], speakers) for i in (0, 1))
            print(f"{name}, phase {'of the recording' if phase else 'from none'}: n = {len(files)}, "
                  f"LSD {lsd.value:.2f} [{lsd.low:.2f}, {lsd.high:.2f}] dB, "
                  f"MCD {mcd.value:.2f} [{mcd.low:.2f}, {mcd.high:.2f}] dB")  # fmt: skip


def measured(path: Path, front_end: Spectrogram, phase: bool) -> tuple[float, float, int]:
    """Log-spectral distance and mel-cepstral distortion, summed over frames, and the number of frames."""
    audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
    length = torch.tensor([audio.shape[1]])
    frames, lengths = front_end(audio, length)
    made = invert(front_end, frames, lengths, audio_lengths=length, phase_of=audio if phase else None).audio
    a, b = (RULER(torch.from_numpy(playable(x[0].numpy(), 8000))[None], length)[0][0].numpy() for x in (audio, made))
    distances = log_spectral_distance(a, b), mel_cepstral_distortion(*(cepstra(RULER, x, 1.0) for x in (a, b)))
    return distances[0] * len(a), distances[1] * len(a), len(a)


if __name__ == "__main__":
    main()
