"""speechocean762: English read by non-native speakers, with ages and a lexicon (Zhang et al. 2021)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from phonaut.corpora.disk import Refused, digests, find_folder
from phonaut.corpora.folder.layouts import Found
from phonaut.corpora.kaldi import KaldiDirectory, find_kaldi, read
from phonaut.corpora.options import refuse, seen_at_once, wrong_choice
from phonaut.corpora.phone_alignments import SILENCES, aligned_phones, check_there, wrong_alignment
from phonaut.corpora.protocols.hashing import WithinSpeakers, hash_percent, wrong_target
from phonaut.data.utterance import Item

PROTOCOLS = ("folds", "fixed", "official")
N_TESTED, N_VALIDATED = 10, 5  # speakers, with protocol=fixed
TARGETS = ("phone", "speaker", "text")
DEV_PCT = 10.0
HOW = "phonaut align dataset=speechocean762 makes one"


class Speechocean762:
    """Sentences with their phones, divided by speaker.

    With `protocol=folds`, all speakers are dealt out to `n_folds` folds in the order of a hash of their ids. The test
    set is fold `fold`, validation is cut from the next one: half of its speakers, so that every speaker is tested once
    and training loses few. With `protocol=fixed` the first 10 speakers in that order are tested and the next 5
    validated, so that an encoder can be pre-trained on the others. With `protocol=official` the corpus's own `train`
    and `test` are kept.

    Args:
        data_folder: the corpus: `train/` (and `test/`), `WAVE/`, `resource/`.
        target: `phone`, `speaker`, or `text` for transcripts, divided as for phones.
        alignment: a CTM file of phones, for `target=phone`.
        protocol: `folds`, `fixed` or `official`.
        n_folds: how many.
        fold: which is tested, from 0.
        drop_phones: phones that are no classes.
        min_phone_count: phones with fewer tokens in the whole corpus are no classes, in no fold.

    Raises:
        ValueError: a value is not possible. The disk is first looked at by the methods.
    """

    name = "speechocean762"
    clip_s: float | None = None
    has_texts = True

    def __init__(
        self,
        *,
        data_folder: str | Path,
        target: str = "phone",
        alignment: str | Path | None = None,
        protocol: str = "folds",
        n_folds: int = 5,
        fold: int = 0,
        drop_phones: Sequence[str] = SILENCES,
        min_phone_count: int = 50,
    ) -> None:
        problems = [*wrong_target(target, self.name, TARGETS), *wrong_choice("protocol", protocol, PROTOCOLS)]
        if n_folds < 3:
            problems.append(f"dataset.n_folds={n_folds}: at least 3, to train, choose and test on different speakers")
        elif not 0 <= fold < n_folds:
            problems.append(f"dataset.fold={fold}: with dataset.n_folds={n_folds} it is from 0 to {n_folds - 1}")
        refuse([*problems, *wrong_alignment(target, alignment, min_phone_count, HOW)])
        self.data_folder, self.target, self.protocol = Path(data_folder), target, protocol
        self.n_folds, self.fold = n_folds, fold
        self.aligned = aligned_phones(target, alignment, drop_phones, min_phone_count)
        self._refused = Refused()
        self._layout: KaldiDirectory | None = None
        self._place: dict[str, str] | None = None

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """What is wrong with options, as far as can be seen at a glance, for the check of a configuration."""
        return seen_at_once(cls, lambda corpus: corpus.first_look(), options)

    def first_look(self) -> None:
        """Find what is needed.

        Raises:
            ValueError: it is not there.
        """
        self.layout()
        if self.aligned:
            check_there(self.aligned.path)

    def settings(self) -> dict[str, Any]:
        """Everything beside the recordings that decides which cuts there are."""
        return {
            "corpus": self.name,
            "target": self.target,
            "protocol": self.protocol,
            "n_folds": self.n_folds,
            "fold": self.fold,
            "tables": digests(self.layout().tables()),
            "phones": self.aligned.settings() if self.aligned else None,
        }

    def words(self) -> list[str] | None:
        """There are no keywords."""
        return None

    def folder(self) -> Path:
        """Where the corpus is.

        Raises:
            ValueError: it is not there.
        """
        return find_folder(self.data_folder, otherwise="; it is at openslr.org/101")

    def lexicon(self) -> Path:
        """The pronunciations that come with it."""
        return self.folder() / "resource" / "lexicon.txt"

    def layout(self) -> KaldiDirectory:
        """Its Kaldi data directories."""
        if self._layout is None:
            root = self.folder()
            folders = find_kaldi(root)
            if not folders:
                raise ValueError(f"dataset.data_folder={root} has no train/wav.scp: it is not speechocean762")
            if self.protocol == "official" and len(folders) < 2:
                raise ValueError(f"{root} has no test/: type dataset.protocol=folds")
            self._layout = KaldiDirectory(folders, self._refused)
        return self._layout

    def items(self) -> Iterator[Item]:
        """Every utterance.

        Raises:
            ValueError: no such folder, or nothing in it can be used.
        """
        within = WithinSpeakers(DEV_PCT, 2 * DEV_PCT)
        if self.target == "speaker":
            for found in self._utterances():
                within.add(str(found.speaker), found.name)
        for found in self._utterances():
            speaker = str(found.speaker)
            split = within.split(speaker, found.name) if self.target == "speaker" else self._split(found)
            phones = self.aligned.phones(found.id, found.path, self._refused) if self.aligned else ()
            if phones is None:
                continue
            yield Item(
                id=found.id,
                path=Path(found.path),
                split=split,
                speaker=speaker,
                text=found.text,
                phones=phones,
            )
        if self.aligned:
            self.aligned.check_met()

    def notes(self) -> list[str]:
        """The protocol."""
        if self.target == "speaker":
            return [
                "speechocean762, speakers: every speaker in all splits, divided by recording: 70 % train, 10 % "
                "validate, 20 % test"
            ]
        n = len(self._places())
        how = f"; {self.aligned.note()}" if self.aligned else ""
        if self.protocol == "official":
            return [f"speechocean762, official split; validation is cut from training by speaker{how}"]
        if self.protocol == "fixed":
            n_tested, n_validated = (list(self._places().values()).count(s) for s in ("test", "validation"))
            return [
                f"speechocean762, one fixed split by speaker: {n - n_tested - n_validated} train, {n_validated} "
                f"validate, {n_tested} test{how}"
            ]
        return [
            f"speechocean762, fold {self.fold} of {self.n_folds}: {n} speakers, each tested in one fold; no speaker is "
            f"in two splits; validation is half of the next fold{how}"
        ]

    def refused(self) -> list[dict[str, str]]:
        """Utterances that cannot be used."""
        return self._refused.as_list()

    def _utterances(self) -> Iterator[Found]:
        for found in self.layout().found():
            if found.speaker is None:
                self._refused.add(found.path, "utt2spk does not name its speaker")
            else:
                yield found

    def _split(self, found: Found) -> str:
        place = self._places()[str(found.speaker)]
        if self.protocol == "official" and found.split == "test":
            return "test"
        return place

    def _places(self) -> dict[str, str]:
        """The split of each speaker."""
        if self._place is None:
            speakers = sorted({str(found.speaker) for found in self._utterances()}, key=lambda s: (hash_percent(s), s))
            if len(speakers) < self.n_folds:
                raise ValueError(f"{len(speakers)} speakers are too few for dataset.n_folds={self.n_folds}")
            if self.protocol == "official":
                self._place = {s: "validation" if hash_percent(s) < DEV_PCT else "train" for s in speakers}
                return self._place
            self._place = {}
            if self.protocol == "fixed":
                if len(speakers) <= N_TESTED + N_VALIDATED:
                    raise ValueError(
                        f"{len(speakers)} speakers are too few for dataset.protocol=fixed, which tests {N_TESTED} and "
                        f"validates {N_VALIDATED}: type dataset.protocol=folds"
                    )
                order = ["test"] * N_TESTED + ["validation"] * N_VALIDATED
                order += ["train"] * (len(speakers) - len(order))
                self._place = dict(zip(speakers, order, strict=True))
                return self._place
            following = (self.fold + 1) % self.n_folds
            for i, speaker in enumerate(speakers):
                nth, own = divmod(i, self.n_folds)
                half = own == following and nth % 2 == 0
                self._place[speaker] = "test" if own == self.fold else "validation" if half else "train"
        return self._place


def pronunciations(path: Path) -> dict[str, list[tuple[str, ...]]]:
    """Words and how they are said, phones without stress, from lines `WORD P1 P2 ...`."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for word, phones in read(path):
        said = tuple(phone.rstrip("012") for phone in phones.split())
        if said and said not in found.setdefault(word, []):
            found[word].append(said)
    return found
