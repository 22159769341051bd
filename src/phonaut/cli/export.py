"""`phonaut export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from phonaut.cli.options import Command, option, print_progress


@dataclass(frozen=True)
class Export(Command):
    """Write a run as files that run without Phonaut, and prove that they answer alike.

    The file model takes audio, network normalised features; model_card.md
    says what the model is, and export.json holds its figures.
    """

    arguments = {"RUN": "trained_models/ID, a classifier of whole recordings"}
    place = "output="
    examples = {
        "trained_models/ID": "ONNX, in trained_models/ID/MODEL/exported",
        "trained_models/ID compress=linear_8_8_8": "in 8 bits, rounded with ranges of training recordings",
        "trained_models/ID backend=c compress=linear_8_8_8": "C99 for a microcontroller, bit for bit",
        "trained_models/ID backend=executorch": "for phones and small computers",
        "trained_models/ID output=for_the_device n_parity=1000": "elsewhere, proved on more recordings",
    }

    backend: Literal["onnxruntime", "executorch", "cortex-m", "c", "torchmobile"] = option(
        "onnxruntime", "what is to run it"
    )
    compress: str | None = option(
        None, "round the network to few bits: linear_8_8_8, fp_8_8_8 ...", otherwise="as it was trained"
    )
    output: Path | None = option(None, "folder that is written", otherwise="exported, in the run")
    n_parity: int = option(200, "recordings of each of validation and test on which both are run", least=1)
    overwrite: bool = option(False, "replace what an earlier export wrote there")

    def run(self) -> int:
        """Write, compare, and print how alike they are."""
        from phonaut.reports.model_card import card
        from phonaut.reports.terminal import show_exported
        from phonaut.runs.export import export
        from phonaut.runs.load import load

        if len(self.paths) != 1:
            raise ValueError(f"export takes one RUN; it got {len(self.paths)} paths: {', '.join(self.paths)}")
        loaded = load(self.paths[0])
        folder = self.output or loaded.folder / "exported"
        figures = export(
            loaded, folder, card, backend_name=self.backend, compress=self.compress, n_parity=self.n_parity,
            overwrite=self.overwrite,
            progress=print_progress,
        )  # fmt: skip
        show_exported(folder, figures)
        return 0
