"""Real SPHERE files, header line by header line, written without a library that reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

RATE = 16000


def speechlike(n: int, seed: int = 0) -> np.ndarray:
    """Noise below 1 kHz, as loud as speech: neighbouring samples are alike."""
    noise = np.random.default_rng(seed).standard_normal(n + 16)
    smooth = np.convolve(noise, np.hanning(17), mode="valid")
    return np.rint(1500 * smooth / smooth.std()).clip(-32000, 32000).astype(np.int16)


def write_sphere(
    path: Path,
    samples: np.ndarray,
    *,
    order: str = "01",
    size: int = 1024,
    says: str | None = None,
    end: str = "end_head",
    newline: str = "\n",
    **fields: str | None,
) -> None:
    """Write a file with TIMIT's own header fields.

    Args:
        path: of the file.
        samples: 16-bit.
        order: of the bytes of the samples.
        size: of the header.
        says: the size that the header names, where it lies.
        end: the last line of the header.
        newline: between its lines.
        fields: other values; None leaves a field out.
    """
    lines: dict[str, str | None] = {
        "database_id": "-s5 TIMIT",
        "database_version": "-s3 1.0",
        "utterance_id": "-s10 cjf0_si648",
        "channel_count": "-i 1",
        "sample_count": f"-i {len(samples)}",
        "sample_rate": f"-i {RATE}",
        "sample_min": f"-i {samples.min()}",
        "sample_max": f"-i {samples.max()}",
        "sample_n_bytes": "-i 2",
        "sample_byte_format": f"-s2 {order}",
        "sample_sig_bits": "-i 16",
        **fields,
    }
    text = ["NIST_1A", f"{says or size:>7}", *(f"{name} {value}" for name, value in lines.items() if value), end, ""]
    header = newline.join(text).encode().ljust(size, b"\n" if end else b"\0")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + samples.astype("<i2" if order == "01" else ">i2").tobytes())
