"""speechocean762: English read by non-native speakers, with ages and a lexicon (Zhang et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from phonaut.corpora.disk import find_folder
from phonaut.corpora.hashing import Shares
from phonaut.corpora.kaldi import KaldiDirectory, find_kaldi, read
from phonaut.corpora.phone_alignments import SILENCES, AlignedCorpus
from phonaut.corpora.protocols import Folds, Protocol, WithinSpeakers
from phonaut.data.utterance import Utterance


class Speechocean762(AlignedCorpus):
    """Sentences with their phones, in folds by default; its own `train` and `test` are the official split.

    Args:
        data_folder: the corpus: `train/` (and `test/`), `WAVE/`, `resource/`.
        target: `phone`, `speaker`, or `text` for transcripts, divided as for phones.
        alignment: the times of phones, for `target=phone`: a file, or a folder of files (CTM, STM, TextGrid, labels of
            HTK or Audacity).
        alignment_tier: of phones, in TextGrids; null: the one that is named so.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole corpus are no classes, in no fold.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "speechocean762"
    targets: ClassVar[tuple[str, ...]] = ("phone", "speaker", "text")
    has_texts: ClassVar[bool] = True
    how: ClassVar[str] = "phonaut align dataset=speechocean762 makes one"
    published_split: ClassVar[bool] = True
    shares: ClassVar[Shares] = Shares(70, 10, 20, of_training=10)

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "phone",
        alignment: str | Path | None = None,
        alignment_tier: str | None = None,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
    ) -> None:
        super().__init__(data_folder, target, alignment, drop_phones, min_phone_count, alignment_tier)

    def default_protocol(self, target: str) -> Protocol:
        """Folds; speakers are told apart within speakers."""
        return WithinSpeakers() if target == "speaker" else Folds()

    def first_look(self) -> None:
        """Find the data directories and the alignment.

        Raises:
            ValueError: they are not there.
        """
        self.layout  # noqa: B018  # raises
        super().first_look()

    def folder(self) -> Path:
        """The folder of the corpus.

        Raises:
            ValueError: it is not there.
        """
        return find_folder(self.data_folder, otherwise="; it is at openslr.org/101")

    def lexicon(self) -> Path:
        """The pronunciations that come with it."""
        return self.folder() / "resource" / "lexicon.txt"

    @cached_property
    def layout(self) -> KaldiDirectory:
        """Its Kaldi data directories."""
        root = self.folder()
        folders = find_kaldi(root)
        if not folders:
            raise ValueError(f"dataset.data_folder={root} has no train/wav.scp: it is not speechocean762")
        return KaldiDirectory(folders, self._refused)

    def genders(self) -> Mapping[str, str]:
        """By `spk2gender`, where it is there."""
        files = [folder / "spk2gender" for folder in find_kaldi(self.folder())]
        lines = [line for file in files if file.exists() for line in read(file)]
        return {speaker: gender for speaker, gender in lines if gender in ("f", "m")}

    def split_hint(self) -> str:
        """A copy without `test/` has none."""
        return f"{self.folder()} has no test/: type protocol=folds"

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance.

        Raises:
            ValueError: no such folder, or nothing in it can be used.
        """
        return self.with_alignment(self._listed())

    def _listed(self) -> Iterator[Utterance]:
        for utterance in self.layout.utterances():
            if utterance.speaker:
                yield replace(utterance, word=None)
            else:
                self.refuse(utterance.path, "utt2spk does not name its speaker")
