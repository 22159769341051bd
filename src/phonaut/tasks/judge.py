"""A classifier of ours that judges generated windows: in its embedding space, and by its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.arrays import Array, spread
from phonaut.config.schema import Config
from phonaut.data.frame_windows import AT_ONCE
from phonaut.files import read_json
from phonaut.metrics import accuracy
from phonaut.metrics.generation import inception_estimate
from phonaut.tasks.base import Metrics, Trained
from phonaut.tasks.conversion import Change, Conversion, attribute_of, change_of
from phonaut.tasks.generation_figures import Figures, Numbers, Samples, distances
from phonaut.tasks.latents import Latents
from phonaut.tasks.other_runs import refuse_other_frames

SIGNED = "judge "  # before its folder, in the method of a figure


class Heard(NamedTuple):
    """What a judge hears.

    Attributes:
        embedded: the input of its last layer, `(n, E)`.
        probabilities: of its classes, `(n, C)`.
    """

    embedded: Array
    probabilities: Array


class Judge:
    """A trained classifier over windows of frames.

    The embedding of a window is the input of the last linear layer. The classifier has learned segments of any length,
    with their context; what it says of recorded windows (`accuracy/true`) is what can be asked of generated ones.

    Args:
        run: the classifier.
        config: of the generator; both have one front end.
        folder: of the generator.
        conversion: that is judged as well; None: none is.

    Attributes:
        name: in the names of figures: its target, with a number where the run has figures of another judge of that.

    Raises:
        ValueError: it is no classifier with a linear layer at the end, or its frames are others.
    """

    def __init__(self, run: Trained, config: Config, folder: Path, conversion: Conversion | None = None) -> None:
        if run.config.choices.get("task", "classification") != "classification":
            raise ValueError(f"judge={run.folder} is no classifier: train one with target=phone, speaker or gender")
        refuse_other_frames(f"judge={run.folder} hears other frames than {folder} makes", config, run.config)
        if run.config.encoder.run is not None or config.encoder.run is not None:
            raise ValueError(f"judge={run.folder}: judge and generator must have no encoder in front of them")
        self.run, self.model = run, run.model.cpu().eval()
        self.classes: list[str] = list(run.about["classes"])
        linear = [m for m in self.model.network.modules() if isinstance(m, nn.Linear)]
        if not linear or linear[-1].out_features != len(self.classes):
            raise ValueError(f"judge={run.folder} has no linear layer at its end: choose one of model=tc-res8 or gru")
        self.last = linear[-1]
        self.folder, self.conversion = folder, conversion
        self.name = name_of(run, folder)

    @torch.inference_mode()
    def hear(self, frames: Tensor) -> Heard:
        """What is heard in windows `(n, T, D)` as the front end gives them."""
        caught: list[Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        scores = []
        try:
            for part in torch.split(frames, AT_ONCE):
                lengths = torch.full((len(part),), part.shape[1])
                encoded = self.model.network.encode(part, lengths) if self.model.encodes_recordings else part  # type: ignore[operator]
                scores.append(self.model.classify(encoded, lengths))
        finally:
            hook.remove()
        embedded = torch.cat(caught)
        if embedded.shape[:-1] != frames.shape[:1]:
            raise ValueError(f"judge={self.run.folder} answers frame by frame: choose one of model=tc-res8 or gru")
        return Heard(embedded.double().numpy(), torch.cat(scores).double().softmax(dim=1).numpy())

    def known(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The classes of names among those of the judge, -1 where they are none, `(n,)`."""
        number = {name: i for i, name in enumerate(self.classes)}
        return np.array([number.get(name, -1) for name in names], np.int64)

    def attribute(self, figures: Figures) -> str:
        """What it hears in windows of a generator: `speaker`, `gender`, `label`, or nothing that these have."""
        target = self.run.config.target
        return target if target in ("speaker", "gender") else "label" if target == figures.data.speech.target else ""

    def asked(self, figures: Figures, samples: Samples) -> NDArray[np.int64] | None:
        """The classes that samples were drawn for, among those of the judge; None: for none."""
        model = figures.model
        if self.run.config.target == figures.data.speech.target and model.labels:
            which, names = samples.condition[:, : len(model.labels)], model.labels
        elif self.run.config.target == "speaker" and model.speakers:
            which, names = samples.condition[:, len(model.labels) :], model.speakers
        else:
            return None
        found = self.known([names[k] for k in which.argmax(dim=1).tolist()])
        return np.where(which.sum(dim=1).numpy() > 0, found, -1)

    def figures(self, figures: Figures, split: str, samples: Samples | None) -> Numbers:
        """What is heard in samples, in reconstructions, in as many training windows, and in recorded ones.

        With `judge` for its name: `mmd/judge` and `frechet/judge` of samples and recorded windows, and of
        reconstructions (`mmd/judge/reconstructed`) and training windows (`/floor`); `inception/judge` of samples and
        of recorded windows (`/true`); `accuracy/judge/true`, `/reconstructed` and `/sampled`.

        Raises:
            ValueError: there are too few windows, or nothing to convert.
        """
        if samples is None:
            raise ValueError(f"{split} or train has too few windows to be judged")
        model, train = figures.model, figures.data.windows("train")
        n, speakers = len(samples.rows), figures.speakers(split, samples.rows)
        groups = figures.groups(split, samples.rows)
        windows = model.windows(samples.batch)
        real, made = self.hear(model.restored(windows.frames)), self.hear(model.restored(samples.windows))
        others = {
            "": made,
            "/floor": self.hear(model.restored(model.windows(train[spread(len(train), n)]).frames)),
        }
        truth = self.known(figures.values(self.attribute(figures), split, samples.rows))
        said = {"true": (truth, real)}
        if model.network.has_encoder:
            table = figures.data.windows(split)
            parts = [Change().windows(model, model.windows(batch)) for batch in table.batches(samples.rows)]
            others["/reconstructed"] = self.hear(model.restored(torch.cat(parts)))
            said["reconstructed"] = (truth, others["/reconstructed"])
        if (asked := self.asked(figures, samples)) is not None:
            said["sampled"] = (asked, made)
        found: Numbers = {}
        for name, heard in others.items():
            found |= distances(real.embedded, groups, heard.embedded, f"/{self.name}{name}")
        found[f"inception/{self.name}"] = inception_estimate(made.probabilities)
        found[f"inception/{self.name}/true"] = inception_estimate(real.probabilities, speakers)
        found |= self.recognised(said, speakers)
        if self.conversion is not None:
            found |= self.of_conversion(figures, split, self.conversion)
        return {
            name: one._replace(method=f"{SIGNED}{self.run.folder}; {one.method or 'over speakers'}")
            for name, one in found.items()
        }

    def recognised(
        self, said: Mapping[str, tuple[NDArray[np.int64], Heard]], speakers: NDArray[Any], of: str = ""
    ) -> Numbers:
        """`accuracy/judge/...`: the share of windows whose class is heard, of those that have a class."""
        found: Numbers = {}
        for name, (right, heard) in said.items():
            if (known := right >= 0).any():
                answer = heard.probabilities.argmax(axis=1)
                found[f"accuracy/{self.name}/{of}{name}"] = accuracy(right[known], answer[known], speakers[known])
        return found

    def of_conversion(self, figures: Figures, split: str, conversion: Conversion) -> Numbers:
        """What is heard in windows of other values before and after they are converted, by the mean of their own value.

        Of a judge of what is converted, `accuracy/judge/to_f/true`, `/reconstructed` and `/converted` are the shares
        heard as the target; of another judge, those whose own class is heard. A speaker that training has not starts
        from the mean code of his or her windows of the split.

        Raises:
            ValueError: there are none, or judge or generator do not know the target.
        """
        model, windows = figures.model, figures.data.windows(split)
        if not model.network.has_encoder:
            raise ValueError(f"{self.folder} has no encoder, and converts nothing")
        attribute, name = attribute_of(conversion.target)
        rows = figures.measured(split)
        values = np.array(figures.values(attribute, split, rows), np.str_)
        others = (values != name) & (values != "")
        rows, values = rows[others], values[others]
        if not len(rows):
            raise ValueError(f"convert={conversion.target}: {split} has no windows of another {attribute}")
        if (of := self.attribute(figures)) == attribute:
            right = self.known([name] * len(rows))
            if right[0] < 0:
                raise ValueError(f"convert={conversion.target}: judge={self.run.folder} has no such class, but "
                                 f"{', '.join(self.classes[:12])}")  # fmt: skip
        else:
            right = self.known(figures.values(of, split, rows))
        latents, shape = Latents(self.folder), (len(rows), model.network.window_frames, model.network.n_features)
        made = {what: torch.empty(shape) for what in ("true", "reconstructed", "converted")}
        for value in np.unique(values).tolist():
            at = np.flatnonzero(values == value)
            parts = [model.windows(batch) for batch in windows.batches(rows[at])]
            source, start = None, None
            if value in latents.names(attribute):
                source = f"{attribute}:{value}"
            else:
                codes = [model.network.encode(part.frames, part.condition) for part in parts]
                start = torch.cat(codes).double().mean(dim=0).numpy()
            change = change_of(model, latents, conversion, source=source, start=start)
            made["true"][at] = torch.cat([part.frames for part in parts])
            made["reconstructed"][at] = torch.cat([Change().windows(model, part) for part in parts])
            made["converted"][at] = torch.cat([change.windows(model, part) for part in parts])
        said = {what: (right, self.hear(model.restored(frames))) for what, frames in made.items()}
        found = self.recognised(said, figures.speakers(split, rows), f"to_{name}/")
        strength = f"codes moved {conversion.strength:g} times"
        return {key: one._replace(method=f"{strength}; {one.method or 'over speakers'}") for key, one in found.items()}


def name_of(run: Trained, folder: Path) -> str:
    """The name of a judge in the figures of a run: its target, and a number where another judge has that name.

    Args:
        run: the judge.
        folder: of the generator, whose figures name their judges.
    """
    owners: dict[str, str] = {}
    for figures in read_json(folder / "metrics.json", Metrics()).values():
        for key, one in figures.items():
            if key.startswith("inception/") and str(one.get("method", "")).startswith(SIGNED):
                owners[key.split("/")[1]] = str(one["method"])[len(SIGNED) :].partition(";")[0]
    names = (f"{run.config.target}_{n}" if n > 1 else run.config.target for n in count(1))
    return next(n for n in names if n not in owners or Path(owners[n]).resolve() == Path(run.folder).resolve())
