"""Readers of text that corpora and alignments come in, of the GenHMM research code's pickles, and of MATLAB files."""

from __future__ import annotations

import contextlib
import gzip
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from helpers.fuzz import Reader
from helpers.mat_files import WRITERS, logmel
from phonaut.corpora import FolderCorpus, KeywordCorpus, LibriSpeech
from phonaut.corpora.disk import Refused
from phonaut.corpora.genhmm_data.files import read_research_file
from phonaut.corpora.logmel_mat import checked_parts, labels_of, utterances_of
from phonaut.corpora.mat_files import open_mat
from phonaut.corpora.phone_alignments import Alignment
from phonaut.corpora.protocols import Official
from phonaut.corpora.reddots import read_script
from phonaut.corpora.timit.files import read_phones
from phonaut.corpora.timit.tables import FOLDINGS
from phonaut.data.lexicon import entries_of
from phonaut.data.trial_files import read_enrolment, read_scores, read_trials

NAMES = [f"{speaker}-{word}" for speaker in ("anna", "bert", "carl", "dora") for word in ("yes", "no")]
SPEAKERS = [f"{i:08x}" for i in range(6)]
GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "TextTier"
        name = "tones"
        xmin = 0
        xmax = 0.5
        points: size = 1
        points [1]:
            number = 0.1
            mark = "H*"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.5
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.2
            text = "A"
        intervals [2]:
            xmin = 0.2
            xmax = 0.5
            text = "B"" "
"""


def written(**files: str) -> Callable[[Path], list[Path]]:
    """Files with these contents; `__` in a name stands for the point before its suffix."""

    def write(folder: Path) -> list[Path]:
        paths = [folder / name.replace("__", ".") for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text, encoding="utf-8")
        return paths

    return write


def phones(path: Path) -> int:
    """All phones of an alignment; utterances with times that cannot be are refused by whoever asks for them."""
    alignment, n = Alignment(path), 0
    for name in alignment:
        with contextlib.suppress(ValueError):
            n += len(alignment.phones(name))
    return n


def kaldi(folder: Path) -> list[Path]:
    for name in NAMES:
        (folder / f"{name}.wav").touch()
    lines = {
        "wav.scp": [f"{name} {name}.wav" for name in NAMES],
        "segments": [f"{name} {name} 0.0 1.5 0" for name in NAMES],
        "text": [f"{name} {name[5:]}" for name in NAMES],
        "utt2spk": [f"{name} {name[:4]}" for name in NAMES],
        "reco2file_and_channel": [f"{name} {name} B" for name in NAMES],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")
    return [folder / name for name in lines]


def listed(path: Path) -> int:
    """All utterances of a Kaldi data directory; where a file leaves none, the directory is named."""
    try:
        return sum(1 for _ in FolderCorpus(data_folder=path.parent).utterances())
    except ValueError as error:
        if "can be used" not in str(error) or str(path.parent) not in str(error):
            raise
        return 0


def lists(folder: Path) -> list[Path]:
    for word in ("yes", "no"):
        (folder / word).mkdir()
        for speaker in SPEAKERS:
            (folder / word / f"{speaker}_nohash_0.wav").touch()
    for name, speakers in (("validation", SPEAKERS[:2]), ("testing", SPEAKERS[2:4])):
        clips = [f"{word}/{speaker}_nohash_0.wav\n" for word in ("yes", "no") for speaker in speakers]
        (folder / f"{name}_list.txt").write_text("".join(clips))
    return [folder / "validation_list.txt", folder / "testing_list.txt"]


def clips(path: Path) -> int:
    """All clips, by their official lists."""
    corpus = KeywordCorpus(data_folder=path.parent, wanted_words=["yes", "no"])
    return sum(1 for _ in Official().divide(corpus, "keyword").utterances())


def books(folder: Path) -> list[Path]:
    chapter = folder / "train-x" / "1" / "2"
    chapter.mkdir(parents=True)
    for i in range(3):
        (chapter / f"1-2-000{i}.flac").touch()
    path = chapter / "1-2.trans.txt"
    path.write_text("1-2-0000 ONE\n1-2-0001 TWO\n1-2-0002 THREE\n")
    return [path]


def research(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    arrays = [np.c_[np.repeat([0, 1], n), rng.normal(size=(2 * n, 3))] for n in (3, 5)]
    paths = [folder / "train.pkl", folder / "test.pkl.gz"]
    paths[0].write_bytes(pickle.dumps([arrays, ["dr1_fcjf0_si648", "dr1_fcjf0_si649"], [6, 10]], 2))
    paths[1].write_bytes(gzip.compress(pickle.dumps({"data": arrays, "phones": {"aa": 0, "b": 1}})))
    return paths


TRN = "m1_31 m1/a,m1/b\nf2_31 f2/a\n"
TRIALS = {
    "x.ndx": "m1_31,m1/c,Y,N,N,N\nm1_31,m1/d,N,Y,N,N\nm1_31,f2/c,N,N,Y,N\nf2_31,m1/d,N,N,N,Y\n",
    "kaldi": "m1_31 m1/c target\nf2_31 m1/c nontarget\nm1_31 m1/d nontarget\n",
    "pairs.txt": "1 id1/x/1.wav id1/y/2.wav\n0 id1/x/1.wav id2/x/1.wav\n0 id2/x/1.wav id1/x/1.wav\n",
}


def trial_lists(folder: Path) -> list[Path]:
    files = {"x.trn": TRN, "spk2utt": TRN.replace(",", " ")} | TRIALS
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "whole.trn").write_text(TRN)
    return [folder / name for name in files]


def trials(path: Path) -> object:
    """A list of trials, with the enrolment beside it, or enrolment."""
    if path.name not in TRIALS:
        return read_enrolment(path)
    return read_trials(path, None if path.name == "pairs.txt" else read_enrolment(path.parent / "whole.trn"))


def score_files(folder: Path) -> list[Path]:
    listed = list(trial_lists(folder))
    conditions = "m1_31 m1/c TC 1.5\nm1_31 m1/d TW -2e-3\nm1_31 f2/c IC 0\nf2_31 m1/d IW -7\n"
    listed[0].with_name("scores").write_text(conditions)
    listed[0].with_name("kaldi.scores").write_text(re.sub("[TI][CW] ", "", conditions))
    return [folder / "scores", folder / "kaldi.scores"]


def scores(path: Path) -> object:
    return read_scores(path, read_trials(path.parent / "x.ndx", read_enrolment(path.parent / "x.trn")))


def matlab(folder: Path) -> list[Path]:
    variables = logmel(4, n_utterances=(2, 1, 1))
    return [write(folder / f"{version}.mat", variables) for version, write in WRITERS.items()]


def frames_of_matlab(path: Path) -> None:
    with open_mat(path) as file:
        for part in checked_parts(file).values():
            labels_of(file, part)
            list(utterances_of(file, part))


READERS = {
    "trials": Reader(trial_lists, trials),
    "scores": Reader(score_files, scores),
    "reddots script": Reader(
        written(script__txt="20150130052549120_m0001_31;Hall\u00f6\n20150130052549120_m0001_32;OK\n"),
        lambda path: read_script(path, Refused()),
    ),
    "lexicon": Reader(
        written(
            a__txt=";;; x\nHELLO HH AH0 L OW1 # y\nHELLO(2) HH EH0 L OW1\n",
            b__txt="HELLO 0.5 h_B e_I l_E\nWORLD 1.0 0.2 w_S\n",
        ),
        entries_of,
    ),
    "ctm": Reader(written(a__ctm=";; x\na 1 0.0 0.1 AA 0.9\na 1 0.1 0.2 B\nb A 0.0 0.1 A_B\nb B 0 1e-1 B_E\n"), phones),
    "stm": Reader(written(a__stm=";; x\na 1 anna 0.0 0.1 <o,f0> AA\nb 1 bert 0.0 0.1 B\n"), phones),
    "textgrid": Reader(written(a__TextGrid=GRID), phones),
    "htk labels": Reader(
        written(
            a__lab="0 1000000 AA -1.5 word\n1000000 2000000 B\n", b__mlf='#!MLF!#\n"*/x.lab"\n0 1000000 a-b+c\n.\n'
        ),
        phones,
    ),
    "audacity": Reader(written(a__txt="0.0\t0.1\tAA\n\\\t1\t2\n0.1\t0.2\tB\n"), phones),
    "kaldi": Reader(kaldi, listed),
    "phn": Reader(written(a__phn="0 400 h#\n400 900 iy\n"), lambda path: read_phones(str(path), FOLDINGS[39])),
    "official lists": Reader(lists, clips),
    "transcripts": Reader(
        books, lambda path: list(LibriSpeech(data_folder=path.parents[3], target="text").utterances())
    ),
    "genhmm pickles": Reader(research, read_research_file),
    "matlab": Reader(matlab, frames_of_matlab),
}
