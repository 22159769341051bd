"""The base class of corpora: an adapter lists utterances, a protocol divides them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from phonaut.checks import Rule
from phonaut.corpora.disk import Refused
from phonaut.corpora.hashing import Shares
from phonaut.data.trials import TrialList
from phonaut.data.utterance import Utterance
from phonaut.files import expanded


class Corpus(ABC):
    """An adapter from the recordings on a user's disk to utterances; `utterances` is all that one must define.

    >>> class Toy(Corpus):
    ...     name = "toy"
    ...     def __init__(self, *, data_folder: str) -> None:
    ...         self.data_folder = Path(data_folder)
    ...     def utterances(self) -> Iterator[Utterance]:
    ...         for path in sorted(self.data_folder.glob("*/*.wav")):
    ...             yield Utterance(path.stem, path, speaker=path.stem.split("_")[0], word=path.parent.name)

    Attributes:
        name: of the adapter, `fsdd`, `kws` ...
        clip_s: keyword window in seconds; None: whole utterances.
        target: what is classified, where the adapter takes it as an option; None: it lists the same for every target.
        targets: those that it has labels for, beside the gender of speakers where it has `genders`.
        has_texts: `target=text`, transcripts without classes, is possible.
        published_split: the official split is taken as it is, whoever is in it, and the notes say whether speakers are
            shared; else a split that shares speakers is refused unless `protocol.shared_speakers=true`.
        options_of_test: options that choose what is tested, and change nothing of what is trained on but to leave more
            out: a trained run can be scored with others (`phonaut evaluate RUN dataset.part=02`).
        RULES: of options, for the check of a configuration: `phonaut.checks.within` and its like.
        noise_dataset: folders of noise recordings to mix in, where the adapter takes them as an option.
        shares: per cent of the corpus for each split, where a protocol is not told otherwise.
    """

    name: str = ""
    clip_s: float | None = None
    target: str | None = None
    noise_dataset: tuple[Path, ...] = ()
    targets: ClassVar[tuple[str, ...]] = ("keyword", "speaker")
    has_texts: ClassVar[bool] = False
    published_split: ClassVar[bool] = False
    options_of_test: ClassVar[tuple[str, ...]] = ()
    RULES: ClassVar[dict[str, Rule]] = {}
    shares: ClassVar[Shares] = Shares()

    @abstractmethod
    def utterances(self) -> Iterator[Utterance]:
        """All utterances, streaming, in an order that does not depend on the file system; may be read several times.

        Raises:
            ValueError: for a mistake of the user, with what to type instead.
        """

    def __repr__(self) -> str:
        """Its class and where it lies."""
        folder = getattr(self, "data_folder", None)
        return f"{type(self).__name__}({'' if folder is None else repr(str(folder))})"

    @classmethod
    def problems(cls, **options: Any) -> list[str]:
        """All problems of the options that can be seen without reading a recording, for the check of a configuration.

        Where the folder is on disk, `first_look` looks into it.
        """
        try:
            corpus = cls(**options)
            folder = options.get("data_folder")
            if folder is None or expanded(folder).exists():
                corpus.first_look()
                if corpus.noise_dataset:
                    from phonaut.corpora.noise import check_folders

                    check_folders(corpus.noise_dataset)
        except ValueError as error:
            return [str(error)]
        return []

    def first_look(self) -> None:  # noqa: B027  # most need nothing
        """Find the files that are needed.

        Raises:
            ValueError: they are not there.
        """

    def title(self) -> str:
        """The corpus in a few words; stands before the protocol in the first note."""
        return self.name

    def official(self) -> str:
        """The official split in words, for the notes."""
        return "official split"

    def trials(self) -> Mapping[str, TrialList]:
        """Its lists of verification trials by official split; mostly none."""
        return {}

    def genders(self) -> Mapping[str, str]:
        """`f` or `m` of each speaker whose gender the corpus knows; mostly none."""
        return {}

    def words(self) -> list[str] | None:
        """The order of the keyword classes where it is fixed; None: the sorted words of the training split."""
        return None

    def notes(self) -> list[str]:
        """Sentences that a user must read, beside the protocol."""
        return []

    def refused(self) -> list[dict[str, str]]:
        """Files that were refused while listing, as `{"path", "reason"}`; complete once `utterances` is exhausted."""
        return self._refused.as_list()

    def default_protocol(self, target: str) -> Any:
        """The protocol, an object, that `protocol=auto` takes for `target`; None: it follows from the utterances."""
        return None

    def speaker_hint(self) -> str:
        """Advice where speakers are not known, for the message of a protocol that needs them."""
        return "list utterances with speakers"

    def split_hint(self) -> str:
        """The files that the official split needs, for the message of a protocol that asks for it in vain."""
        return ""

    def complete(self, utterance: Utterance) -> Utterance | None:
        """Read what is slow to read, phones or transcripts, once an utterance is divided; None: it is refused."""
        return utterance

    def select(self, divided: Any) -> Iterator[Utterance]:
        """The utterances of a `protocols.base.Divided` that are used; noise comes beside them."""
        yield from divided.assigned()
        if self.noise_dataset:
            from phonaut.corpora.noise import Background

            noise = Background(None, divided.plan.shares.by_split(), self._refused, self.noise_dataset)
            yield from noise.utterances({}, 1.0, 0)

    def refuse(self, path: str | Path, reason: str) -> None:
        """Leave out a file, by name."""
        self._refused.add(str(path), reason)

    @cached_property
    def _refused(self) -> Refused:
        return Refused()


def target_problems(target: str | None, corpus: type[Corpus]) -> list[str]:
    """The problem of a `target` that a corpus has no labels for."""
    has_genders = ("gender",) if corpus.genders is not Corpus.genders else ()
    if target in (*corpus.targets, *has_genders):
        return []
    labels = [name for name in (*corpus.targets, *has_genders) if name != "text"]  # which is no label
    have = " and ".join(f"target={name}" for name in labels)
    return [f"dataset={corpus.name} has labels for {have}, none for target={target}"]
