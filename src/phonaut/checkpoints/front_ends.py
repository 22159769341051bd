"""Map the audio settings of a checkpoint to one of our front ends."""

from __future__ import annotations

from typing import Any, NamedTuple

# Of frames that were computed beforehand only their width is known; these are what s3prl and the original write.
BY_WIDTH: dict[int, tuple[str, dict[str, Any]]] = {
    39: ("mfcc", {"n_mfcc": 13, "deltas": 2}),
    80: ("fbank", {"deltas": 0}),
    160: ("mel", {}),
    240: ("fbank", {"deltas": 2}),
    1025: ("linear", {}),
}
KALDI_KEYS = {"num_mel_bins", "frame_length", "frame_shift", "use_log_fbank"}
GUESSED = "its front end is not told, and features={name} is chosen by the number of features, {n}: it has to match"
ONLINE = (
    "features={name} computes what its settings say of the audio, but for a level of {level} dB that recordings were "
    "brought to in training: it has to match"
)
KALDI = "features={name} computes what its settings say of Kaldi's filter banks: it has to match"


class Chosen(NamedTuple):
    """A front end.

    Attributes:
        name: the choice of `features=` or `target_features=`.
        options: what of it is not as chosen.
        normalized: each feature over each recording.
        ddof: of the variance that it is normalised by.
        note: how it was chosen.
    """

    name: str
    options: dict[str, Any]
    normalized: bool
    ddof: int
    note: str


def input_of(audio: dict[str, Any] | None, n_features: int, where: str) -> Chosen:
    """The front end of an encoder.

    Args:
        audio: the section of its settings, or None.
        n_features: that it takes.
        where: the file, for what is said.

    Raises:
        ValueError: no front end of ours gives such frames.
    """
    chosen = by_width(n_features) if audio is None else from_settings(audio, "input")
    if chosen is None:
        said = f", audio: {audio}" if audio is not None else f"; ours have {', '.join(map(str, BY_WIDTH))}"
        raise ValueError(f"{where} takes frames of {n_features} features that no front end of ours gives{said}")
    return chosen


def target_of(audio: dict[str, Any] | None, n_targets: int, n_features: int) -> Chosen | None:
    """The front end of what its head predicts; None if it is none of ours."""
    if n_targets == n_features:
        return from_settings(audio, "input") if audio is not None else by_width(n_features)
    return from_settings(audio, "target") if audio is not None else by_width(n_targets)


def by_width(n: int) -> Chosen | None:
    """The front end with `n` features, as s3prl and the original have them."""
    if n not in BY_WIDTH:
        return None
    name, options = BY_WIDTH[n]
    return Chosen(name, options, True, 0, GUESSED.format(name=name, n=n))


def from_settings(audio: dict[str, Any], part: str) -> Chosen | None:
    """The settings of `input` or `target` in a section, of s3prl's two extracters; None if it is none of ours."""
    if "kaldi" in audio:
        return of_kaldi(audio)
    described = audio.get(part, audio.get("input"))
    name = {"mel": "mel", "linear": "spectrogram"}.get(described.get("feat_type")) if described else None
    if not described or name is None:
        return None
    mels = {"n_mels": int(audio.get("n_mels", 40)), "mel_scale": "htk", "norm": "null"}
    options: dict[str, Any] = mels if name == "mel" else {}
    options |= {
        "n_fft": 2 * (int(audio.get("n_freq", 201)) - 1),
        "win_length": samples(audio, "win_ms", 25),
        "hop_length": samples(audio, "hop_ms", 10),
        "log": "natural" if described.get("log") else "null",
        "log_offset": 1e-10,
        "amin": 1e-30,
        "top_db": "null",
        "deltas": int(described.get("delta", 0)),
    }
    options |= {"delta_kind": "htk"} if options["deltas"] else {}
    note = ONLINE.format(name=name, level=audio.get("target_level"))
    return Chosen(name, options, bool(described.get("cmvn")), 1, note)


def of_kaldi(audio: dict[str, Any]) -> Chosen | None:
    """The front end of torchaudio's imitation of Kaldi: its samples are in -1 ... 1, not 16 bits."""
    banks = audio["kaldi"].get("fbank") or {}
    if audio["kaldi"].get("feat_type", "fbank") != "fbank" or set(banks) - KALDI_KEYS:
        return None
    deltas = audio.get("delta") or {}
    if deltas.get("win_length", 5) != 5:
        return None
    options = {
        "n_mels": int(banks.get("num_mel_bins", 23)),
        "win_length": samples(banks, "frame_length", 25),
        "hop_length": samples(banks, "frame_shift", 10),
        "scale": 1.0,
        "log": "natural" if banks.get("use_log_fbank", True) else "null",
        "deltas": int(deltas.get("order", 2)),
    }
    return Chosen("fbank", options, bool((audio.get("cmvn") or {}).get("use_cmvn")), 1, KALDI.format(name="fbank"))


def samples(section: dict[str, Any], key: str, default_ms: float) -> int:
    """Milliseconds as samples, at the 16 kHz of all of these."""
    return round(16 * float(section.get(key, default_ms)))
