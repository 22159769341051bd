"""Load trained runs: their models with weights, ready to answer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonaut.checkpoints import pretrained
from phonaut.checkpoints.state_dict import check_state_dict, model_weights, read_checkpoint, read_weights, write_weights
from phonaut.config.compose import compose_pretrained, to_yaml
from phonaut.config.nodes import instantiate
from phonaut.corpora.disk import is_audio
from phonaut.files import atomic_folder, cache_dir, expanded, locked, read_sealed, write_json, write_text
from phonaut.models.shaped_by_data import adopt_shapes
from phonaut.networks import reparameterized
from phonaut.runs.answers import Answers
from phonaut.runs.run import Run
from phonaut.tasks.base import Task

if TYPE_CHECKING:
    from phonaut.runs.drawing import Drawing
    from phonaut.runs.generation import Generating

FORMAT = 3  # of the runs that checkpoints become: another one makes them anew


class LoadedRun(Answers):
    """A trained run with its model and its task, which is asked about recordings.

        run = phonaut.load("trained_models/ID")
        run.predict("yes.wav").label

    Args:
        run: on disk.
        epoch: whose weights are loaded, from 1; None: the epoch that was kept.

    Attributes:
        run: the files of the run.
        task: that it was trained for.
        is_whole: False where weights are missing that the task can do without.

    Raises:
        ValueError: there are no weights, they are damaged, or they do not fit the configuration; the names that
            differ are given.
    """

    def __init__(self, run: Run, epoch: int | None = None) -> None:
        self.run = run
        needed = ["features", "model", "task", "trainer", *([] if run.config.imported else ["dataset"])]
        chosen = [] if run.config.imported else ["dataset", "model", "features"]
        missing = [key for key in needed if not getattr(run.config, key)]
        if missing := missing + [f"choices.{key}" for key in chosen if key not in run.config.choices]:
            raise ValueError(f"{run.folder / 'config.yaml'} is damaged: it has no {' and no '.join(missing)}")
        self.task: Task = instantiate(run.config.task)
        path = run.folder / "model.safetensors"
        if not path.exists():
            raise ValueError(
                f"{run.folder} has no trained model yet; resume it: {run.environment.get('resume_command')}"
            )
        model = self.task.model(run.config, list(run.model.get("classes", [])))
        super().__init__(run.folder, run.config, run.model, run.corpus, run.history, model)
        weights = read_weights(path) if epoch is None else weights_of_epoch(run, epoch)
        adopt_shapes(model, weights)
        if any(".branches." in name for name in weights):  # of an epoch of training
            reparameterized.attach(model)
        expected, optional = model.state_dict(), self.task.optional_weights
        self.is_whole = not optional or any(name.startswith(optional) for name in weights)
        if not self.is_whole:
            expected = {name: value for name, value in expected.items() if not name.startswith(optional)}
        check_state_dict(expected, weights, f"{path} and {run.folder / 'config.yaml'}")
        model.load_state_dict(weights, strict=self.is_whole)
        reparameterized.fold(model)
        model.eval()

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of posteriors and log-likelihoods; empty where the task has none."""
        return list(self.about.get("classes", []))

    def __repr__(self) -> str:
        """Folder, task, model, corpus, and the figure of the test split in a line."""
        choices = self.config.choices
        what = f"{choices.get('task')} by {choices.get('model')} of {self.corpus.get('name', 'recordings unknown')}"
        return "\n  ".join([f"LoadedRun({str(self.folder)!r})", what, *figure_of(self.run)])

    def generator(self) -> Generating | Drawing:
        """The trained generator, to sample, reconstruct and convert with; a density of each class, to sample from.

        Raises:
            ValueError: the run generates nothing.
        """
        from phonaut.models.window_model import WindowModel
        from phonaut.runs.drawing import Drawing
        from phonaut.runs.generation import Generating

        return Generating(self) if isinstance(self.model, WindowModel) else Drawing(self)


def figure_of(run: Run) -> list[str]:
    """The first figure of the test, with its interval, else of another split; nothing where there is none."""
    metrics = run.metrics
    for split in ("test", "validation", *metrics):
        for name, rate in metrics.get(split, {}).items():
            value, low, high = (f"{rate[key]:.4g}" for key in ("value", "low", "high"))
            return [f"{name} {value} [{low}, {high}] of {rate['n']:,} ({split})"]
    return []


def load(path: Path | str, *, epoch: int | None = None) -> LoadedRun:
    """A trained run, or an encoder of another tool as one.

        run = phonaut.load("trained_models/demo")
        print(run.predict("yes.wav"))

    Args:
        path: of the run, or of a checkpoint of s3prl or of the original Mockingjay.
        epoch: whose weights are loaded, from 1; None: the epoch that was kept.

    Raises:
        ValueError: there is none, or it cannot be used.
    """
    return LoadedRun(open_trained(path), epoch)


def weights_of_epoch(run: Run, epoch: int) -> dict[str, Any]:
    """The weights of a model after an epoch, from 1, where its checkpoint is kept.

    Raises:
        ValueError: it is not; those that are are named.
    """
    folder = run.folder / "checkpoints"
    path = folder / f"epoch-{epoch - 1:03d}.ckpt"
    if not path.exists():
        there = ", ".join(str(int(file.stem.split("-")[1]) + 1) for file in sorted(folder.glob("epoch-*.ckpt")))
        raise ValueError(f"epoch={epoch}: {folder} keeps epochs {there or 'no more'}; checkpoint=all keeps every one")
    return model_weights(read_checkpoint(path))


def open_trained(path: Path | str) -> Run:
    """The run in a folder, or what a checkpoint of s3prl or of the original became, made on first use in the cache.

    Raises:
        ValueError: there is no run, or the checkpoint cannot be taken over.
    """
    path = expanded(path)
    if not path.is_file():
        return Run(path)
    if is_audio(path.name):
        raise ValueError(f"{path} is a recording, and the run stands first: trained_models/ID {path}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    folder = cache_dir() / "imported" / f"{digest[:24]}-{FORMAT}"
    with locked(folder.parent / f".{folder.name}.lock"):
        if not is_whole(folder):
            import_checkpoint(path, folder)
    return Run(folder)


def is_whole(folder: Path) -> bool:
    """Whether a checkpoint that became a run is there as it was written."""
    try:
        read_sealed(folder / "model.safetensors")
    except (OSError, ValueError):
        return False
    return True


def import_checkpoint(path: Path, folder: Path) -> None:
    """Write a checkpoint of another tool as a run of pre-training that has ended.

    Args:
        path: of the checkpoint.
        folder: of the run; it is there as a whole or not at all.

    Raises:
        ValueError: the file is damaged or none of these, or our encoder or our front ends cannot be what it is.
    """
    checkpoint = pretrained.read(path)
    config = compose_pretrained(checkpoint, str(path))
    weights = {f"network.{name}": value for name, value in checkpoint.weights.items()}
    has_head = instantiate(config.target_features or config.features).n_features == checkpoint.n_targets
    if has_head:
        weights |= pretrained.head_weights(checkpoint.head, checkpoint.hidden_size, path)
    notes = [checkpoint.note, *([] if has_head else ["it has no head, or one for frames that are not ours"])]
    config.imported = {"file": path.name, "notes": notes}
    config.dataset, config.choices["dataset"] = {}, None  # a checkpoint does not say what it was trained on
    about = {"model": "mockingjay_base", "n_outputs": checkpoint.hidden_size, "notes": notes}
    with atomic_folder(folder) as made:
        write_text(made / "config.yaml", to_yaml(config))
        write_weights(made / "model.safetensors", weights)
        write_json(made / "model.json", about)
