"""What Phonaut does with small corpora, as data: `python tests/golden/record.py --update` writes it beside this file.

Everything goes through the command line and the files of runs, so that the record outlives changes of the code below;
what has to reach further in is under "Adapter". Each group runs in an empty folder of its own, with relative paths, and
is kept as `<group>.json`. `old_runs/` is never written anew: it is what former releases have left on disks.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}  # as in conftest.py
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2] / "src")]

import numpy as np
import yaml
from safetensors.numpy import load_file

from golden import trees

HERE = Path(__file__).parent
SPLITS = ("train", "validation", "test", "noise", "noise_test")
MOST_ROWS = 60  # of a split listed in full; of longer ones the counts, the speakers and a hash
N_VALUES = 6  # of a tensor
N_SCORES = 6  # rows of scores


NAMES_THEN = {"label_name": "word", "n_correct_frames": "n_right"}  # columns of predictions, as they were recorded

# Adapter: all that is known of Phonaut's inside. ----------------------------------------------------------------------


class Cut(NamedTuple):
    """A recording or a part of one; `details` are its other labels and times."""

    id: str
    split: str
    speaker: str
    word: str | None
    details: tuple[Any, ...]
    audio: np.ndarray | None = None


def command(words: Sequence[str]) -> tuple[int, str, str]:
    """`phonaut words`, within this process: exit status, output, and errors; training is that of before recipes."""
    from phonaut.cli import main

    words = last_of_each([*words, "recipe=none"]) if words[0] == "train" else words
    out, told = io.StringIO(), io.StringIO()
    argv = list(sys.argv)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(told):
            status = main(list(words))
    finally:
        sys.argv[:] = argv
    return status, out.getvalue(), told.getvalue()


def last_of_each(words: Sequence[str]) -> list[str]:
    """Of words with one key the last: when this was recorded it was what counted."""
    last = {word.partition("=")[0]: word for word in words if "=" in word}
    return [word for word in words if last.get(word.partition("=")[0], word) == word]


def listed(words: Sequence[str]) -> tuple[list[Cut], list[str]]:
    """The cuts of a corpus before its audio is opened, and its notes."""
    from phonaut.config.compose import compose
    from phonaut.config.nodes import instantiate

    config = compose(words)
    corpus = instantiate(config.protocol).divide(instantiate(config.dataset), config.target)
    cuts = []
    for item in corpus.utterances():
        phones = [(phone.label, round(phone.start_s, 4), round(phone.end_s, 4)) for phone in item.phones]
        length = None if item.duration_s is None else round(item.duration_s, 4)
        details = (item.text, item.sentence, item.session, round(item.start_s, 4), length, phones)
        cuts.append(Cut(item.id, item.split, item.speaker, item.word, details))
    return cuts, corpus.notes()


def prepared(words: Sequence[str]) -> tuple[list[Cut], list[str]]:
    """The cuts of a prepared corpus with their audio, where it has audio, and its notes."""
    from phonaut.config.compose import compose
    from phonaut.tasks.build import prepared_corpus

    corpus = prepared_corpus(compose(words), n_jobs=1)
    cuts = []
    for split in SPLITS:
        table = corpus.utterances(split)
        for row in range(len(table)):
            which = slice(int(table.phone_offset[row]), int(table.phone_offset[row + 1]))
            times = np.stack([table.phone_start_s[which], table.phone_end_s[which]], axis=1).round(4).tolist()
            phones = [(corpus.phones[code], *at) for code, at in zip(table.phone_label[which], times, strict=True)]
            details = (table.text(row), table.sentence(row), table.session(row), phones)
            audio = table.audio(row) if corpus.frames is None else table.frames(row, 0, int(table.n_samples[row]))
            who, word = table.speaker_name(row), table.word_name(row)
            cuts.append(Cut(table.id(row), split, who, word, details, np.array(audio)))
    return cuts, corpus.notes


def lacking(group: str) -> str | None:
    """What a group cannot do without and this machine does not have."""
    if group == "synthetic":
        from phonaut.corpora.synthetic.espeak import missing

        return "the extra 'synthetic' (espeak-ng) is not installed" if missing() is not None else None
    if group == "fsdd":
        data = os.environ.get("PHONAUT_DATA")
        return None if data and Path(data, "fsdd").is_dir() else "real speech: fsdd is not under PHONAUT_DATA"
    return None


# What is written down -------------------------------------------------------------------------------------------------


def short(value: Any) -> Any:
    """A number with six digits, lists and dictionaries of such; all else as it is."""
    if isinstance(value, dict):
        return {str(key): short(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [short(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return short(value.tolist())
    return float(f"{value:.6g}") if isinstance(value, float) else value


def digest(thing: Any) -> str:
    """A hash of bytes, or of what `repr` says."""
    return hashlib.sha256(thing if isinstance(thing, bytes) else repr(thing).encode()).hexdigest()[:16]


def evenly(array: np.ndarray, n: int) -> np.ndarray:
    """At most `n` of the rows, from the first to the last."""
    return array[np.unique(np.linspace(0, len(array) - 1, n).astype(int))] if len(array) else array


def division(cuts: Sequence[Cut], notes: Sequence[str]) -> dict[str, Any]:
    """Who and what is in which split: in full for small corpora."""
    rows: dict[str, list[str]] = {}
    speakers: dict[str, set[str]] = {}
    for cut in sorted(cuts):
        rows.setdefault(cut.split, []).append(" ".join((cut.id, cut.speaker, str(cut.word))))
        speakers.setdefault(cut.split, set()).add(cut.speaker)
    return {
        "notes": list(notes),
        "n": {split: len(some) for split, some in rows.items()},
        "speakers": {split: " ".join(sorted(some)) for split, some in speakers.items()},
        "rows": {split: some if len(some) <= MOST_ROWS else digest(some) for split, some in rows.items()},
        "details": digest([(cut.id, cut.details) for cut in sorted(cuts)]),
    }


def sound(cuts: Sequence[Cut]) -> dict[str, Any]:
    """The checksum of all samples, and figures that differ little where another processor rounds differently."""
    samples = np.concatenate([cut.audio.ravel() for cut in cuts if cut.audio is not None]).astype(np.float32)
    exact = samples.astype(np.float64)
    return {
        "checksum": digest(samples.tobytes()),
        "n": len(samples),
        "mean_square": short(float((exact**2).mean())),
        "mean_absolute": short(float(np.abs(exact).mean())),
        "values": short(evenly(samples, 2 * N_VALUES)),
    }


def tensors(path: Path) -> dict[str, Any]:
    """Shape, mean, standard deviation and a few values of each tensor of a file."""
    found = {}
    for name, value in sorted(load_file(path).items()):
        exact = value.astype(np.float64).ravel()
        about = {"mean": exact.mean(), "std": exact.std()} if exact.size else {}
        found[name] = short({"shape": value.shape, **about, "values": evenly(exact, N_VALUES)})
    return found


def answers(path: Path) -> dict[str, Any]:
    """What a model said of each span."""
    with np.load(path, allow_pickle=False) as columns:
        found = {NAMES_THEN.get(name, name): columns[name] for name in columns.files}
    scores = found["scores"]
    said = {
        "n": len(scores),
        "classes": " ".join(found["classes"].tolist()),
        "spans": digest([found["cut"].tolist(), found["word"].tolist(), found["start_s"].round(4).tolist()]),
        "label": " ".join(map(str, found["label"].tolist())),
        "argmax": " ".join(map(str, scores.argmax(axis=1).tolist())),
        "scores": short(evenly(scores, N_SCORES)),
    }
    for name in ("n_frames", "n_right"):
        if name in found:
            said[name] = int(found[name].sum())
    if "log_likelihood" in found:
        said["log_likelihood"] = short(float(np.nanmean(found["log_likelihood"])))
    return said


def run_record(folder: Path, *, weights: bool = True) -> dict[str, Any]:
    """A run's folder."""
    found: dict[str, Any] = {}
    for name in ("metrics", "model", "history"):
        found[name] = without_times(json.loads((folder / f"{name}.json").read_text()))
    found["notes"] = json.loads((folder / "corpus.json").read_text())["notes"]
    found["predictions"] = {path.stem: answers(path) for path in sorted((folder / "predictions").glob("*.npz"))}
    if weights:
        found["weights"] = tensors(folder / "model.safetensors")
    return found


def without_times(thing: Any) -> Any:
    """What does not depend on how fast the machine is."""
    if isinstance(thing, dict):
        return {key: without_times(one) for key, one in thing.items() if "second" not in key and "per_s" not in key}
    return [without_times(one) for one in thing] if isinstance(thing, list) else short(thing)


def done(*words: str) -> str:
    """The output of a command that is to succeed."""
    status, out, told = command(words)
    if status:
        raise RuntimeError(f"phonaut {' '.join(words)} ended with {status}: {told[-2000:]}")
    return out


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted keys and values; what is in a list stays together."""
    if isinstance(config, dict) and config:
        return {key: value for name, one in config.items() for key, value in flat(one, f"{prefix}{name}.").items()}
    return {prefix[:-1]: config}


def configuration(*words: str) -> dict[str, Any]:
    """Every key that composes, and what is refused, under `refused`."""
    status, out, told = command(["train", *words, "-c", "job"])
    found = flat(yaml.safe_load(out)) if status == 0 else {}
    found |= {"refused": told.strip().splitlines()} if told.strip() else {}
    text = json.dumps(found, default=str).replace(str(Path.cwd()), "$HERE")
    plain: dict[str, Any] = json.loads(text)
    return plain


def run_folder(name: str) -> Path:
    """Where the run of an experiment lies."""
    (folder,) = (path.parent for path in Path("trained_models", name).glob("*/config.yaml"))
    return folder


def trained(name: str, *words: str) -> dict[str, Any]:
    """A run, from recordings to predictions."""
    done("train", *words, "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", f"experiment_id={name}")
    return run_record(run_folder(name))


def compared(*words: str) -> list[dict[str, Any]]:
    """The table of `phonaut compare`, without what depends on the machine."""
    done("compare", *words, "output=compared")
    with Path("compared", "compare.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    shutil.rmtree("compared")
    return [without_times({name: number(text) for name, text in row.items()}) for row in rows]


def number(text: str) -> Any:
    """A number where the text is one."""
    try:
        return float(text)
    except ValueError:
        return text


# Groups ---------------------------------------------------------------------------------------------------------------

TONES = ["dataset=folder", "dataset.data_folder=tones"]
BY_LIST = ["dataset.validation_speakers=[s5]", "dataset.test_speakers=[s6,s7]"]
CLIPS = [*TONES, *BY_LIST, "batch_size=8", "trainer.max_epochs=2", "features.n_mels=20", "features.n_mfcc=10"]
FLOW = ["model.n_couplings=2", "model.n_hidden=4", "model.n_passes=1", "model.first_fit=1", "model.n_mix=2"]
STATES = ["model.n_states=2"]
SMALL = ["model.stride=3", "model.hidden_size=16", "model.n_heads=2", "model.intermediate_size=24", "model.n_layers=2"]
FEW = ["features.n_mels=10", "features.n_fft=512", "features.win_length=400"]
# What features=mel was when this was recorded.
FEW += ["features.mel_scale=htk", "features.norm=null", "features.log=db", "features.top_db=80", "features.amin=1e-10"]
FEW += ["features.log_offset=0", "features.delta_kind=htk"]
ENCODER = ["model=mockingjay_small", *SMALL, *FEW, "batch_frames=400"]
ENCODER += ["trainer.max_epochs=2", "trainer.precision=32-true"]
PRETRAINING = [*ENCODER, *TONES]
MASKS = ["objective.consecutive=2", "objective.share=0.3"]
PHONES = ["dataset=timit", "target=phone", "batch_size=64", "trainer.max_epochs=2", "features.n_mfcc=10"]
MIX = (
    "dataset.corpora=[{name: folder, data_folder: tones, weight: 1.0},"
    "{name: folder, as: other, data_folder: words, weight: 0.5}]"
)

CONFIGURATIONS = {
    "default": [],
    "fsdd": ["dataset=fsdd", "dataset.data_folder=digits", "model=lstm"],
    "kws": [
        "dataset=kws",
        "dataset.data_folder=kws",
        "dataset.wanted_words=all",
        "dataset.test_snr=10",
        "dataset.downsample=8000",
    ],
    "folder": [*CLIPS, "model=gru", "optimizer=sgd", "scheduler=cosine"],
    "timit": ["dataset=timit", "dataset.data_folder=TIMIT", "target=phone", "model=gru", "model.over=recording"],
    "librispeech": ["dataset=librispeech", "dataset.data_folder=LibriSpeech", "target=speaker", "model=rnn"],
    "speechocean762": ["dataset=speechocean762", "dataset.data_folder=speechocean", "target=speaker", "model=gmm"],
    "phones of an alignment": [
        "dataset=speechocean762",
        "dataset.data_folder=speechocean",
        "target=phone",
        "dataset.alignment=b.ctm",
        "model=dnnhmm",
        "context_s=0.1",
    ],
    "genhmm_data": [
        "dataset=genhmm_data",
        "dataset.train=train.pkl",
        "dataset.test=test.pkl",
        "target=phone",
        "model=genhmm",
    ],
    "mix": ["model=mockingjay_small", "dataset=mix", MIX],
    "gmmhmm": ["model=gmmhmm", "features=melspec", "normalizer=cmvn"],
    "flow": ["model=flow", "features=fbank"],
    "lathmm": ["model=lathmm", "features=mfcc_kaldi"],
    "gshmm": ["model=gshmm", "features=linear"],
    "dtw": ["model=dtw", "features=melspec_kaldi", "normalizer=level"],
    "majority": ["model=majority", "features=spectrogram"],
    "probe": ["model=probe", "features=raw", "labels_each=2"],
    "hybrid": ["model=dnnhmm", "target=phone", "module.n_mix=2", "classes=5"],
    "streaming": ["streaming=true", "features=mel", "model=tc-res8", "normalizer=fixedpoint"],
    "streaming gru": ["streaming=true", "model=gru", "checkpoint=all", "profiler=simple"],
    "mockingjay_base": ["model=mockingjay_base", *TONES],
    "mockingjay_large": ["model=mockingjay_large", *TONES, "target_features=linear", "trainer=pretraining_short"],
    "apc": ["model=mockingjay_small", *TONES, "objective=apc", "streaming=true"],
    "tera": [
        "model=mockingjay_small",
        *TONES,
        "objective=tera",
        "leave_out_speakers=[s1]",
        "probe=[dataset=synthetic]",
    ],
    "refused": ["optimizer=adamw", "features.f_max=9000", "trainer.epochs=3", "model=tc_res8"],
    "other choices": ["augmentation=none", "optimizer=lbfgs", "scheduler=plateau", "trainer.devices=2", "n_classes=3"],
}


def configurations() -> dict[str, Any]:
    """Composed configurations: the default in full, of the others what differs from it."""
    for write in (trees.tones, trees.words, trees.kaldi, trees.speech_commands, trees.timit, trees.librispeech):
        write(Path())
    trees.research_files(Path())
    trees.touch(Path("digits") / "recordings", ["7_jackson_32.wav"])
    composed = {name: configuration(*words) for name, words in CONFIGURATIONS.items()}
    return as_changes(composed)


def as_changes(composed: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The first in full; of each other one the keys that are new or have other values, and those that it lacks."""
    (first, base), *rest = composed.items()
    found: dict[str, Any] = {first: base}
    for name, config in rest:
        changed = {key: value for key, value in config.items() if key not in base or base[key] != value}
        found[name] = {"changed": changed, "lacks": [key for key in base if key not in config]}
    return found


def from_changes(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All configurations in full."""
    (first, base), *rest = record.items()
    found = {first: base}
    for name, one in rest:
        found[name] = {key: value for key, value in base.items() if key not in one["lacks"]} | one["changed"]
    return found


WORDS = ["dataset=folder", "dataset.data_folder=words"]
TABLE = ["dataset=folder", "dataset.data_folder=table"]
KALDI = ["dataset=folder", "dataset.data_folder=kaldi/data"]
KWS = ["dataset=kws", "dataset.data_folder=kws", "dataset.wanted_words=[bed,cat]"]
TIMIT = ["dataset=timit", "dataset.data_folder=TIMIT", "target=phone"]
LIBRI = ["dataset=librispeech", "dataset.data_folder=LibriSpeech", "target=speaker"]
OCEAN = ["dataset=speechocean762", "dataset.data_folder=speechocean"]
ALIGNED = ["target=phone", "dataset.alignment=b.ctm", "dataset.min_phone_count=1"]
RESEARCH = ["dataset=genhmm_data", "dataset.train=train.pkl", "dataset.test=test.pkl"]

LISTED = {
    "folder": WORDS,
    "folder, other shares": [*WORDS, "dataset.train_pct=60", "dataset.dev_pct=20", "dataset.test_pct=20"],
    "folder by lists": [*WORDS, "dataset.validation_speakers=[15,16]", "dataset.test_speakers=[18,19,20]"],
    "folder by a list of the test": [*WORDS, "dataset.test_speakers=[18,19,20]"],
    "folder by recording": [*WORDS, "dataset.protocol=recordings"],
    "folder, all test": [*WORDS, "dataset.protocol=all_test"],
    "folder, speakers": [*WORDS, "target=speaker"],
    "folder, patterns": [*WORDS, "dataset.word_pattern='_([01])'", "dataset.speaker_pattern='([0-9]+)_'"],
    "folder, as given": ["dataset=folder", "dataset.data_folder=divided"],
    "folder, given without validation": ["dataset=folder", "dataset.data_folder=undivided"],
    "folder, divided anew": ["dataset=folder", "dataset.data_folder=divided", "dataset.protocol=speakers"],
    "table": [*TABLE, "dataset.table=parts.csv"],
    "table, as given": [*TABLE, "dataset.table=given.tsv", "dataset.shared_speakers=true"],
    "kaldi": KALDI,
    "kaldi, phones": [*KALDI, "target=phone", "dataset.alignment=a.ctm", "dataset.min_phone_count=1"],
    "kaldi, speakers": [*KALDI, "target=speaker"],
    "kws": KWS,
    "kws, by recording": [*KWS, "dataset.group_speakers_by_id=false", "dataset.unknown_prob=0.3"],
    "kws, lists": [*KWS, "dataset.use_default_split=true", "dataset.silence_prob=0.2"],
    "kws, all words": [*KWS[:2], "dataset.wanted_words=all", "dataset.silence_prob=0"],
    "timit, core": TIMIT,
    "timit, complete": [*TIMIT, "dataset.protocol=complete", "dataset.phone_set=61"],
    "timit, speakers": [*TIMIT[:2], "target=speaker"],
    "librispeech": [*LIBRI, "dataset.subsets=[train-clean-100,dev-clean,test-clean]", "dataset.target=text"],
    "librispeech, training alone": ["dataset=librispeech", "dataset.data_folder=Libri100", "dataset.target=text"],
    "librispeech, speakers": LIBRI,
    "speechocean762, folds": [*OCEAN, *ALIGNED],
    "speechocean762, fold 3": [*OCEAN, *ALIGNED, "dataset.fold=3", "dataset.n_folds=4"],
    "speechocean762, fixed": [*OCEAN, *ALIGNED, "dataset.protocol=fixed"],
    "speechocean762, speakers": [*OCEAN, "target=speaker"],
    "mix": [
        "model=mockingjay_small",
        "dataset=mix",
        MIX,
        "leave_out_speakers=[other/00000003]",
        "dataset.validation_pct=20",
    ],
}
HEARD = {
    "folder": [*TONES, *BY_LIST],
    "folder, clips at 8 kHz": [*TONES, *BY_LIST, "dataset.clip_s=0.4", "features.sample_rate=8000"],
    "kws": ["dataset=kws", "dataset.data_folder=kws_tones", "dataset.wanted_words=[bed,cat]", "dataset.test_snr=10"],
    "timit": TIMIT,
    "genhmm_data": [*RESEARCH, "target=phone"],
    "genhmm_data, speakers": [*RESEARCH, "target=speaker"],
}


def corpora() -> dict[str, Any]:
    """The split of every recording, and what is heard of some."""
    for write in (trees.tones, trees.words, trees.tables, trees.kaldi, trees.speech_commands, trees.timit):
        write(Path())
    trees.librispeech(Path())
    trees.research_files(Path())
    return {
        "splits": {name: division(*listed(words)) for name, words in LISTED.items()},
        "prepared": {name: heard(words) for name, words in HEARD.items()},
    }


def heard(words: Sequence[str]) -> dict[str, Any]:
    """A prepared corpus."""
    cuts, notes = prepared(words)
    return division(cuts, notes) | {"audio": sound(cuts)}


SPOKEN = ["dataset.n_speakers=10", "dataset.words=[yes,no,up]"]
SENTENCES = ["dataset.n_speakers=10", "dataset.n_sessions=3", "dataset.n_sentences=1"]


def synthetic() -> dict[str, Any]:
    """The corpus that comes with Phonaut: its splits, its sound, and runs on it."""
    short_runs = ["trainer.max_epochs=2", "features.n_mfcc=10", "batch_size=16"]
    return {
        "prepared": {
            "keyword": heard(SPOKEN),
            "phone": heard(["target=phone", *SENTENCES]),
            "speaker": heard(["target=speaker", *SENTENCES, "dataset.n_phrases=1"]),
        },
        "runs": {
            "tc-res8": trained("keywords", *SPOKEN, *short_runs, "model.channels=[4,4]"),
            "gmmhmm, phones": trained(
                "phones",
                "target=phone",
                *SENTENCES,
                *short_runs,
                "model=gmmhmm",
                "model.n_mix=1",
                *STATES,
                "classes=8",
            ),
        },
    }


def fsdd() -> dict[str, Any]:
    """Free Spoken Digits: three divisions of all of it, the sound of some, and runs on few labels."""
    data = Path(os.environ["PHONAUT_DATA"])
    trees.digits(Path(), data / "fsdd" / "recordings")
    few = ["dataset=fsdd", "dataset.data_folder=digits"]
    more = [*few, "trainer.max_epochs=2", "features.n_mfcc=10", "batch_size=10"]
    runs = [*more, "labels_each=1"]
    protocol = "dataset.protocol=leave_one_speaker_out"
    return {
        "splits": {
            "official": division(*listed(["dataset=fsdd"])),
            "leave_one_speaker_out": division(*listed(["dataset=fsdd", protocol, "dataset.fold=2"])),
            "speakers": division(*listed(["dataset=fsdd", "target=speaker"])),
        },
        "prepared": {
            "16 kHz": heard(few),
            "8 kHz": heard([*few, "features.sample_rate=8000", "dataset.clip_s=0.5"]),
        },
        "runs": {
            "tc-res8": trained("a", *runs, "model.channels=[8,8]"),
            "gmmhmm": trained("b", *runs, "model=gmmhmm", "model.n_mix=1", *STATES, "normalizer=cmvn"),
            "dtw": trained("c", *runs, "model=dtw", "model.n_templates=1", "model.n_nearest=1", protocol),
            "gru, speakers": trained("d", *more, "target=speaker", "model=gru", "model.hidden_size=8"),
        },
        "compare": compared("trained_models/a", "trained_models/b"),
    }


def keywords() -> dict[str, Any]:
    """Gradient descent and densities on clips; noise and comparisons."""
    trees.tones(Path())
    trees.speech_commands(Path())
    kws = ["dataset=kws", "dataset.data_folder=kws_tones", "dataset.wanted_words=[bed,cat]", "dataset.test_snr=10"]
    kws += ["dataset.silence_prob=0.2", "dataset.unknown_prob=0.3"]
    found = {
        "tc-res8": trained("tc-res8", *CLIPS, "model.channels=[4,4]"),
        "gru": trained("gru", *CLIPS, "model=gru", "model.hidden_size=8", "model.bidirectional=true", "seed=3"),
        "streaming lstm, speakers": trained(
            "lstm",
            *TONES,
            "target=speaker",
            *CLIPS[4:],
            "model=lstm",
            "model.hidden_size=8",
            "streaming=true",
            "normalizer=null",
            "optimizer=sgd",
            "scheduler=null",
        ),
        "tc-res8, kws": trained("kws", *kws, *CLIPS[4:], "model.channels=[4,4]"),
        "gmm": trained("gmm", *CLIPS, "model=gmm", "model.n_mix=2"),
        "gmmhmm": trained(
            "gmmhmm",
            *CLIPS,
            "model=gmmhmm",
            "model.n_mix=2",
            "normalizer=cmvn",
            "model.linear=true",
            "model.durations=true",
        ),
        "gmmhmm, speakers": trained(
            "speakers",
            *TONES,
            "target=speaker",
            *CLIPS[4:],
            "model=gmmhmm",
            "model.n_mix=1",
            *STATES,
            "model.covariance_type=full",
            "model.topology=ergodic",
            "labels_pct=60",
        ),
        "dtw": trained("dtw", *CLIPS, "model=dtw", "model.n_templates=2", "model.n_nearest=1", "labels_each=1"),
        "majority": trained("majority", *CLIPS, "model=majority", "classes=[low,high]"),
    }
    for name in ("tc-res8", "gmm"):
        done("evaluate", f"trained_models/{name}", "noise=white,pink", "snr_db=0,20")
    done("evaluate", "trained_models/tc-res8", "new")
    noisy = run_record(run_folder("tc-res8"), weights=False)
    runs = [f"trained_models/{name}" for name in ("majority", "gmm", "tc-res8", "gru")]
    return {
        "runs": found,
        "evaluated": {name: noisy[name] for name in ("metrics", "predictions")},
        "compare": compared(*runs[1:]),
        "compare f1, validation": compared(*runs[1:3], "metric=f1", "split=validation"),
    }


def flows() -> dict[str, Any]:
    """Densities with flows."""
    trees.tones(Path())
    clips = [*CLIPS, "features.n_mfcc=6", *FLOW]
    return {
        "runs": {
            "flow": trained("flow", *clips, "model=flow"),
            "genhmm": trained("genhmm", *clips, "model=genhmm", *STATES, "model.first_fit=0"),
            "lathmm": trained("lathmm", *clips, "model=lathmm", *STATES, "model.permutation=random"),
            "gshmm": trained("gshmm", *clips, "model=gshmm", *STATES, "model.mask=chunk", "model.permutation=conv1x1"),
        }
    }


def phones() -> dict[str, Any]:
    """Phones within recordings."""
    trees.timit(Path())
    given = [*PHONES, "dataset.data_folder=TIMIT"]
    return {
        "runs": {
            "gru": trained("gru", *given, "model=gru", "model.hidden_size=8", "model.over=recording", "context_s=0.1"),
            "gmmhmm": trained("gmmhmm", *given, "model=gmmhmm", "model.n_mix=2"),
            "dnnhmm": trained(
                "dnnhmm",
                *given,
                "model=dnnhmm",
                "model.hidden_size=8",
                "module.n_mix=1",
                "module.em_steps=1",
            ),
            "probe": trained("probe", *given, "model=probe", "max_recording_s=0.7", "seed=1"),
        },
        "compare": compared("trained_models/gmmhmm", "trained_models/gru", "trained_models/dnnhmm"),
    }


def encoders() -> dict[str, Any]:
    """Pre-training by each objective, and models behind an encoder."""
    trees.tones(Path())
    trees.words(Path())
    behind = [*TONES, *BY_LIST, "batch_size=8", "trainer.max_epochs=2", "augmentation=none"]
    behind += ["encoder.run=trained_models/mockingjay"]
    mix = (
        "dataset.corpora=[{name: folder, data_folder: tones},{name: folder, as: other, data_folder: new, weight: 0.5}]"
    )
    found = {
        "mockingjay": trained("mockingjay", *PRETRAINING, *MASKS, "leave_out_speakers=[s6,s7]"),
        "tera": trained("tera", *PRETRAINING, *MASKS, "objective=tera", "objective.noise_share=0.5"),
        "apc": trained("apc", *PRETRAINING, "objective=apc", "seed=1"),
        "mix": trained(
            "mix",
            *ENCODER,
            *MASKS,
            "dataset=mix",
            mix,
            "target_features=linear",
            "target_features.n_fft=512",
            "target_features.win_length=400",
        ),
        "probe, frozen": trained("frozen", *behind, "model=probe", "encoder.layer=1"),
        "probe, weighted": trained("weighted", *behind, "model=probe", "encoder.mode=weighted"),
        "probe, fine-tuned": trained(
            "finetune", *behind, "model=probe", "encoder.mode=finetune", "model.hidden_size=8"
        ),
        "tc-res8, augmented": trained("augmented", *behind, "model.channels=[4,4]", "augmentation=default"),
        "gmmhmm, projected": trained("projected", *behind, "model=gmmhmm", "model.n_mix=1", "encoder.n_components=4"),
        "dnnhmm, all layers": trained(
            "layers",
            *behind,
            "model=dnnhmm",
            "model.hidden_size=8",
            "module.n_mix=1",
            "module.em_steps=1",
            "encoder.layer=all",
        ),
    }
    done("extract", "trained_models/mockingjay", *TONES, *BY_LIST, "layer=1", "output=frames")
    frames = ["dataset=frames", "dataset.data_folder=frames", "dataset.protocol=given"]
    found["gmm on frames"] = trained("frames", *frames, "trainer.max_epochs=2", "model=gmm", "model.n_mix=2")
    done("evaluate", "trained_models/mockingjay", *TONES, *BY_LIST)
    return {
        "runs": found,
        "configurations": as_changes({"frozen": configuration(*behind), "frames": configuration(*frames)}),
        "frames": heard(frames),
        "probes": without_times(json.loads((run_folder("mockingjay") / "probe.json").read_text())),
    }


def old_runs() -> dict[str, Any]:
    """What `phonaut evaluate` makes of runs that were written before."""
    trees.tones(Path())
    trees.timit(Path())
    shutil.copytree(HERE / "old_runs", "trained_models")
    found = {}
    for name, words in OLD_RUNS.items():
        told = done("train", *words, *QUIET, f"experiment_id={name}")
        again = "is finished" in told
        if name == "encoder":
            done("extract", f"trained_models/{name}", *TONES, *BY_LIST, "layer=all", "output=frames")
            found[name] = {"finished": again, "frames": heard(["dataset=frames", "dataset.data_folder=frames"])}
            continue
        (run_folder(name) / "predictions" / "test.npz").unlink()
        done("evaluate", f"trained_models/{name}")
        if "target=phone" not in words:
            done("evaluate", f"trained_models/{name}", "new")
        found[name] = {"finished": again, **run_record(run_folder(name), weights=False)}
    behind = [*TONES, *BY_LIST, "batch_size=8", "trainer.max_epochs=1", "encoder.run=trained_models/encoder"]
    return {
        "runs": found,
        "behind the encoder": trained("probed", *behind, "model=probe"),
        "compare": compared("trained_models/gmmhmm", "trained_models/tc-res8"),
    }


QUIET = ["trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
OLD_RUNS = {
    "tc-res8": [*CLIPS, "model.channels=[4,4]"],
    "gmmhmm": [*CLIPS, "model=gmmhmm", "model.n_mix=2", "normalizer=cmvn", "model.durations=true"],
    "flow": [*CLIPS, "features.n_mfcc=6", *FLOW, "model=flow", "model.n_mix=1"],
    "lathmm": [*CLIPS, "features.n_mfcc=6", *FLOW, "model=lathmm", *STATES],
    "dnnhmm": [
        *PHONES,
        "dataset.data_folder=TIMIT",
        "model=dnnhmm",
        "model.hidden_size=8",
        "module.n_mix=1",
        "module.em_steps=1",
    ],
    "dtw": [*CLIPS, "model=dtw", "model.n_templates=2", "model.n_nearest=1"],
    "encoder": [*PRETRAINING, *MASKS],
    "behind": [
        *TONES,
        *BY_LIST,
        "batch_size=8",
        "trainer.max_epochs=2",
        "encoder.run=trained_models/encoder",
        "model=probe",
        "encoder.mode=weighted",
    ],
}
KEPT = ("config.yaml", "model.safetensors", "model.json", "corpus.json", "metrics.json", "history.json", "refused.json",
        "environment.json", "cuts.json")  # fmt: skip


def write_old_runs() -> None:
    """Train what `old_runs/` holds: once, before the code changes."""
    if (HERE / "old_runs").exists():
        raise SystemExit(f"{HERE / 'old_runs'} is there: runs of former releases are not made again")
    with workplace():
        trees.tones(Path())
        trees.timit(Path())
        for name, words in OLD_RUNS.items():
            done("train", *words, *QUIET, f"experiment_id={name}")
            source = run_folder(name)
            target = HERE / "old_runs" / source.relative_to("trained_models")
            (target / "predictions").mkdir(parents=True)
            for file in source.iterdir():
                if file.name in KEPT or file.name.startswith("cuts"):
                    shutil.copy(file, target) if file.is_file() else shutil.copytree(file, target / file.name)
            if (source / "predictions" / "test.npz").exists():
                shutil.copy(source / "predictions" / "test.npz", target / "predictions")
            about = json.loads((target / "environment.json").read_text())
            about["machine"] |= {"cpu": "x86_64", "system": "Linux"}
            (target / "environment.json").write_text(json.dumps(about, indent=1))
            where = json.loads((target / "corpus.json").read_text())
            where["folder"] = "cache/" + Path(where["folder"]).name
            (target / "corpus.json").write_text(json.dumps(where, indent=1))


GROUPS: dict[str, Callable[[], dict[str, Any]]] = {
    "encoders": encoders,
    "keywords": keywords,
    "corpora": corpora,
    "phones": phones,
    "flows": flows,
    "old_runs": old_runs,
    "configurations": configurations,
    "synthetic": synthetic,
    "fsdd": fsdd,
}


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """An empty folder to work in, which goes away; with an empty cache, unless there is one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault("PHONAUT_CACHE", f"{name}/cache")
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def as_text(thing: Any, indent: str = "") -> str:
    """JSON with a line for each key, and lists on one line."""
    if isinstance(thing, dict) and thing and not set(thing) <= {"shape", "mean", "std", "values"}:
        inner = indent + " "
        lines = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {as_text(one, inner)}" for key, one in thing.items())
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    return json.dumps(thing, ensure_ascii=False)


def stored(group: str) -> dict[str, Any]:
    """What was recorded before."""
    found: dict[str, Any] = json.loads((HERE / f"{group}.json").read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Record, and write it down or say whether it is what was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", choices=[[], *GROUPS], help="all, where none is named")
    parser.add_argument("--update", action="store_true", help="write the record anew")
    parser.add_argument(
        "--old-runs", action="store_true", help="train the runs that old_runs/ holds, where there are none"
    )
    arguments = parser.parse_args()
    if arguments.old_runs:
        write_old_runs()
    for group in arguments.groups or GROUPS:
        began = time.monotonic()
        with workplace():
            found = json.loads(json.dumps(GROUPS[group]()))
        if arguments.update:
            (HERE / f"{group}.json").write_text(as_text(found) + "\n", encoding="utf-8")
        told = "written" if arguments.update else "the same" if found == stored(group) else "not the same"
        print(f"{group}: {told}, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
