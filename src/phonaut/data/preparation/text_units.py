"""Text units of a corpus: SentencePiece on the transcripts of training, and all transcripts in these units."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from phonaut.data.prepared import PreparedCorpus
from phonaut.data.utterance import SPLITS
from phonaut.files import atomic_folder

KINDS = ("unigram", "bpe", "char")
MODEL = "units.model"
FILES = (MODEL, *(f"cuts.{split}.jsonl.gz" for split in SPLITS))
MOST_SENTENCES = 500_000  # that units are learned from, for SentencePiece holds them in memory
LONGEST = 2**30  # bytes of a sentence, the most there can be; by default SentencePiece leaves out what has over 4192
SEED = 0


@dataclass
class Counts:
    """Counts of the transcripts of a split.

    Attributes:
        n_sentences: with a transcript.
        n_without: utterances without one.
        n_units: of all sentences.
        n_unknown: of these, how many stand for characters that training has not.
    """

    n_sentences: int = 0
    n_without: int = 0
    n_units: int = 0
    n_unknown: int = 0


@dataclass
class Result:
    """Units, and how they fit.

    Attributes:
        folder: that everything lies in.
        kind: one of `KINDS`.
        n_units: how many there are, the unknown one included.
        splits: by the name of the split.
        n_shared: speakers of validation or test who are in training too.
    """

    folder: Path
    kind: str
    n_units: int
    splits: dict[str, Counts] = field(default_factory=dict)
    n_shared: int = 0


class UnitSettings(NamedTuple):
    """The units that are asked for, checked before a corpus is prepared, which may take hours.

    Attributes:
        n_units: how many, the unknown one included.
        kind: one of `KINDS`.
        output: the folder that is made, or made again.
    """

    n_units: int
    kind: str
    output: Path

    def check(self) -> None:
        """Refuse what cannot be done, whatever the corpus is.

        Raises:
            ValueError: SentencePiece is not installed, there is no such kind, or `output` has other files.
        """
        problems = [] if self.kind in KINDS else [f"units_kind={self.kind} is none of {', '.join(KINDS)}"]
        if self.n_units < 2:
            problems.append(f"units={self.n_units}: at least 2, one of which stands for unknown characters")
        try:
            import sentencepiece  # noqa: F401
        except ImportError:
            problems.append("units= needs the optional extra: pip install 'phonaut[units]'")
        if self.output.exists() and not self.output.is_dir():
            problems.append(f"output={self.output} is a file, and must be a folder")
        elif self.output.exists():
            others = sorted(path.name for path in self.output.iterdir() if path.name not in FILES)
            if others:
                problems.append(f"output={self.output} has other files ({', '.join(others[:3])}): name a new folder")
        if problems:
            raise ValueError("\n".join(problems))


def write_units(prepared: PreparedCorpus, settings: UnitSettings) -> Result:
    """Learn units from the transcripts of the training split, and write all transcripts in them.

    The folder has `units.model`, a file of SentencePiece, and for each split lhotse's cuts as `prepared.manifest` gives
    them, with `custom["units"]` in each supervision that has a transcript. Transcripts are taken as they are: upper and
    lower case, punctuation and accents are kept; only what is between words becomes one space. Unit 0 is the unknown
    one; there are none for the beginning and the end of a sentence. The same corpus gives the same bytes.

    Args:
        prepared: the corpus.
        settings: how many units of which kind, and where they go.

    Raises:
        ValueError: there are no transcripts to learn from, or they do not have so many units.
    """
    settings.check()
    if prepared.frames is not None:
        raise ValueError(f"{prepared.name} has frames, and units= needs recordings with transcripts")
    from sentencepiece import SentencePieceProcessor

    model = learn_model(prepared, settings)
    processor = SentencePieceProcessor(model_proto=model)
    result = Result(settings.output, settings.kind, processor.get_piece_size(), n_shared=shared_speakers(prepared))
    with atomic_folder(settings.output.absolute()) as folder:
        (folder / MODEL).write_bytes(model)
        for split in SPLITS:
            if len(prepared.utterances(split)):
                source = prepared.manifest_file(split)
                result.splits[split] = write_encoded(source, folder / source.name, processor)
    return result


def learn_model(prepared: PreparedCorpus, settings: UnitSettings) -> bytes:
    """A model of SentencePiece from the transcripts of the training split.

    Raises:
        ValueError: there are none, or they do not have so many units.
    """
    import sentencepiece

    if not len(prepared.utterances("train")):
        raise ValueError(f"the training split of {prepared.name} is empty, and units are learned from it alone")
    if next(transcripts(prepared), None) is None:
        raise ValueError(f"{prepared.name} has no transcripts in its training split, and units are learned from them")
    sentencepiece.set_random_generator_seed(SEED)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=transcripts(prepared),
            model_writer=model,
            vocab_size=settings.n_units,
            model_type=settings.kind,
            normalization_rule_name="identity",
            character_coverage=1.0,  # a rare letter is a letter too
            input_sentence_size=MOST_SENTENCES,
            shuffle_input_sentence=True,
            max_sentence_length=LONGEST,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,  # sums of several differ in their last bits
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(explained(str(error), settings, prepared.name)) from error
    n_units = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue()).get_piece_size()
    if n_units < settings.n_units:  # of characters it takes what is there, and says nothing
        raise ValueError(too_many(settings, n_units, prepared.name))
    return model.getvalue()


def transcripts(prepared: PreparedCorpus) -> Iterator[str]:
    """The transcripts of the training split that say something."""
    table = prepared.utterances("train")
    texts = (spaced(table.text(row)) for row in range(len(table)))
    return (text for text in texts if text)


def spaced(text: str | None) -> str:
    """`text` with one space between words, and none around them.

    >>> spaced(" He  said:\\nStop ")
    'He said: Stop'
    """
    return " ".join((text or "").split())


def explained(error: str, settings: UnitSettings, name: str) -> str:
    """SentencePiece's error about a number of units, for those who have not read its source."""
    most = re.search(r"too high.*<= (\d+)", error)
    if most:
        return too_many(settings, int(most[1]), name)
    least = re.search(r"smaller than required_chars\. \d+ vs (\d+)", error)
    if least:
        return (
            f"units={settings.n_units}: the transcripts of {name} have more characters than that; "
            f"the smallest number is {least[1]}"
        )
    return (
        f"units={settings.n_units} units_kind={settings.kind}: SentencePiece refuses the transcripts of {name}: {error}"
    )


def too_many(settings: UnitSettings, most: int, name: str) -> str:
    """That there are not so many units, and how many there are."""
    return (
        f"units={settings.n_units}: the training transcripts of {name} have not so many with "
        f"units_kind={settings.kind}; the largest number is {most}"
    )


def write_encoded(source: Path, into: Path, processor: Any) -> Counts:
    """Copy a manifest, with the units of each supervision, a cut at a time."""
    counts = Counts()
    # Without the time of writing in its head, the same corpus gives the same bytes.
    with (
        gzip.open(source, "rt", encoding="utf-8") as cuts,
        into.open("wb") as raw,
        gzip.GzipFile("", "wb", 3, raw, mtime=0) as file,
    ):
        for cut in map(json.loads, cuts):
            for supervision in cut["supervisions"]:
                text = spaced(supervision["text"])
                if not text:
                    counts.n_without += 1
                    continue
                units = processor.encode(text, out_type=int)
                supervision["custom"]["units"] = units
                counts.n_sentences += 1
                counts.n_units += len(units)
                counts.n_unknown += units.count(processor.unk_id())
            file.write((json.dumps(cut, ensure_ascii=False) + "\n").encode("utf-8"))
    return counts


def shared_speakers(prepared: PreparedCorpus) -> int:
    """Number of speakers of validation or test who are in training too."""
    train, *others = (set(np.unique(prepared.utterances(split).speaker).tolist()) - {-1} for split in SPLITS)
    return len(train & set().union(*others))


def describe_units(result: Result) -> str:
    """The output of `phonaut prepare units=...`."""
    lines = [
        f"{result.n_units:,} units ({result.kind}) from the transcripts of training: {result.folder}",
        f"  {'split':<12}{'sentences':>11}{'units a sentence':>18}{'unknown':>10}",
    ]
    for split, counts in result.splits.items():
        mean, unknown = (
            f"{counts.n_units / counts.n_sentences:.1f}" if counts.n_sentences else "-",
            f"{counts.n_unknown / counts.n_units:.2%}" if counts.n_units else "-",
        )
        lines.append(f"  {split:<12}{counts.n_sentences:>11,}{mean:>18}{unknown:>10}")
        if counts.n_without:
            lines[-1] += f"   {counts.n_without:,} without a transcript"
    if result.n_shared:
        lines.append(f"  {result.n_shared:,} speakers of validation or test are in training too, and shaped the units")
    return "\n".join(lines)
