"""`phonaut align`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import CORPUS, Command, option, print_progress, usage


@dataclass(frozen=True)
class Align(Command):
    """Align the phones of a transcribed corpus in time.

    By pocketsphinx, by phone HMMs that are trained on the corpus, or by both.
    """

    usage = ("dataset=NAME [KEY=VALUE ...]",)
    composes = {**CORPUS, "target=NAME": "labels that the corpus is asked for"}
    place = "output="
    examples = {
        "dataset=librispeech": "CTM and TextGrid files, into alignments/librispeech",
        "dataset=speechocean762 aligner=hmm": "phone models alone, from a flat start",
    }

    aligner: Literal["pocketsphinx", "hmm", "both"] = option(
        "both", "the aligner; both: phone HMMs start from the alignment of pocketsphinx"
    )
    output: Path | None = option(None, "folder of the alignments", otherwise="alignments/DATASET")
    lexicon: Path | None = option(None, "a file with lines WORD P1 P2 ...", otherwise="the corpus's own, if it has one")
    n_jobs: int | None = option(None, "processes of pocketsphinx", least=1, otherwise="2")

    def run(self) -> int:
        """Align, and print how far the alignments differ."""
        if self.aligner == "hmm" and self.n_jobs is not None:
            raise ValueError("n_jobs= is for pocketsphinx, and aligner=hmm does without it: leave one out")
        if not any(word.startswith("dataset=") for word in self.overrides):
            raise ValueError(f"usage: {usage('align', Align)[0]}, such as phonaut align dataset=librispeech")
        from phonaut.alignment.align import SAMPLE_RATE, align
        from phonaut.config.compose import compose
        from phonaut.config.nodes import instantiate
        from phonaut.data.preparation.prepare import prepare
        from phonaut.reports.alignment import show

        # Of the targets, the one that has every sentence and needs no phones; whoever divides it into what.
        config = compose(["target=speaker", "protocol=all_test", *self.overrides])
        corpus = instantiate(config.dataset)
        lexicon = self.lexicon or (corpus.lexicon() if hasattr(corpus, "lexicon") else None)
        result = align(
            prepare(corpus, instantiate(config.protocol), target=config.target, sample_rate=SAMPLE_RATE),
            output=self.output or Path("alignments") / str(config.choices["dataset"]),
            aligner=self.aligner,
            lexicon=lexicon if self.lexicon or (lexicon and lexicon.is_file()) else None,
            n_jobs=self.n_jobs or 2,
            tell=print_progress,
        )
        show(result)
        return 0
