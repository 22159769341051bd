"""`phonaut prepare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import Command, option


@dataclass(frozen=True)
class Prepare(Command):
    """Decode, check and store a corpus, and list what was refused.

    Prepared corpora lie in the cache, where training looks for them. With
    units=1000 the transcripts are written in text units as well.
    """

    composes = {
        "dataset=NAME": "the corpus; phonaut --help lists them",
        "KEY=VALUE": "any other key of phonaut train, such as dataset.data_folder=recordings or target=phone",
    }
    place = "output="
    examples = {
        "dataset=fsdd": "a public corpus, before it is trained on",
        "dataset=librispeech units=1000": "its transcripts in units that SentencePiece learns in training",
    }

    n_jobs: int | None = option(None, "threads that decode recordings", least=1, otherwise="one per core")
    units: int | None = option(None, "text units that SentencePiece learns from the training transcripts", least=1)
    units_kind: Literal["unigram", "bpe", "char"] = option("unigram", "kind of the units")
    output: Path | None = option(None, "folder of the units", otherwise="units/DATASET")

    def run(self) -> int:
        """Prepare, and write units where they are asked for."""
        if self.units is None and (needless := self.given("units_kind", "output")):
            raise ValueError(f"{needless[0]}= goes with units=1000")
        from phonaut.config.compose import compose
        from phonaut.data.preparation.prepare import describe
        from phonaut.data.preparation.text_units import UnitSettings, describe_units, write_units
        from phonaut.tasks.build import prepared_corpus

        config = compose(self.overrides if self.units is None else with_transcripts(self.overrides))
        if self.units is None:
            print(describe(prepared_corpus(config, n_jobs=self.n_jobs)))
            return 0
        settings = UnitSettings(
            self.units, self.units_kind, self.output or Path("units") / str(config.choices["dataset"])
        )
        settings.check()
        prepared = prepared_corpus(config, n_jobs=self.n_jobs)
        print(describe(prepared), flush=True)
        print(describe_units(write_units(prepared, settings)))
        return 0


def with_transcripts(overrides: Sequence[str]) -> list[str]:
    """`overrides`, and `dataset.target=text` where no target is named and the corpus can do without labels.

    Raises:
        ValueError: speakers are asked for, who are in all splits.
    """
    targets = [text.rpartition("=")[2] for text in overrides if text.startswith(("target=", "dataset.target="))]
    if "speaker" in targets:
        raise ValueError("target=speaker has every speaker in all splits, and units are learned without those of the "
                         "test: leave it out")  # fmt: skip
    from phonaut.config.compose import draft
    from phonaut.config.nodes import class_of

    corpus = class_of(draft(overrides)[0].dataset)
    return [*overrides, *(["dataset.target=text"] if not targets and getattr(corpus, "has_texts", False) else [])]
