"""A classifier of ours that judges generated windows: in its embedding space, and by its answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from phonaut.arrays import Array
from phonaut.config.schema import Config
from phonaut.data.frame_windows import AT_ONCE, spread
from phonaut.metrics import accuracy
from phonaut.tasks.base import Trained
from phonaut.tasks.generation_figures import Figures, Numbers, Samples, distances


class Judge:
    """A trained classifier over windows of frames.

    The embedding of a window is the input of the last linear layer. The classifier has learned segments of any length,
    with their context; what it says of recorded windows (`accuracy/true`) is what can be asked of generated ones.

    Args:
        run: the classifier.
        config: of the generator; both have one front end.
        folder: of the generator.

    Raises:
        ValueError: it is no classifier with a linear layer at the end, or its frames are others.
    """

    def __init__(self, run: Trained, config: Config, folder: Any) -> None:
        if run.config.choices.get("task", "classification") != "classification":
            raise ValueError(f"judge={run.folder} is no classifier: train one with target=phone or target=speaker")
        for name in ("features", "normalizer"):
            ours, theirs = getattr(config, name), getattr(run.config, name)
            if ours != theirs:
                a, b = config.choices.get(name), run.config.choices.get(name)
                keys = [k for k in {**(ours or {}), **(theirs or {})} if (ours or {}).get(k) != (theirs or {}).get(k)]
                raise ValueError(
                    f"judge={run.folder} hears other frames than {folder} makes: {name}={b} there and {name}={a} here, "
                    f"which differ in {', '.join(keys)}"
                )
        if run.config.encoder.run is not None or config.encoder.run is not None:
            raise ValueError(f"judge={run.folder}: judge and generator must have no encoder in front of them")
        self.run, self.model = run, run.model.cpu().eval()
        self.classes: list[str] = list(run.about["classes"])
        linear = [m for m in self.model.network.modules() if isinstance(m, nn.Linear)]
        if not linear or linear[-1].out_features != len(self.classes):
            raise ValueError(f"judge={run.folder} has no linear layer at its end: choose one of model=tc-res8 or gru")
        self.last = linear[-1]

    @torch.inference_mode()
    def hear(self, frames: Tensor) -> tuple[Array, NDArray[np.int64]]:
        """Embeddings `(n, E)` of windows `(n, T, D)` as the front end gives them, and the classes that are heard."""
        caught: list[Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        answers = []
        try:
            for part in torch.split(frames, AT_ONCE):
                lengths = torch.full((len(part),), part.shape[1])
                encoded = self.model.network.encode(part, lengths) if self.model.encodes_recordings else part  # type: ignore[operator]
                answers.append(self.model.classify(encoded, lengths).argmax(dim=1))
        finally:
            hook.remove()
        embedded = torch.cat(caught)
        if embedded.shape[:-1] != frames.shape[:1]:
            raise ValueError(f"judge={self.run.folder} answers frame by frame: choose one of model=tc-res8 or gru")
        return embedded.double().numpy(), torch.cat(answers).numpy()

    def truth(self, figures: Figures, split: str, rows: NDArray[np.int64], target: str) -> NDArray[np.int64]:
        """The classes of windows among those of the judge, -1 where they are none or not known, `(n,)`."""
        number = {name: i for i, name in enumerate(self.classes)}
        if self.run.config.target == "speaker":
            names = figures.speakers(split, rows).tolist()
        elif self.run.config.target == target:
            labels = figures.data.labels
            names = [labels[k] if k >= 0 else "" for k in figures.data.windows(split).labels[rows].tolist()]
        else:
            names = [""] * len(rows)
        return np.array([number.get(name, -1) for name in names], np.int64)

    def figures(self, figures: Figures, split: str, samples: Samples | None, target: str) -> Numbers:
        """`mmd/judge` and `frechet/judge` of samples, reconstructions and training windows; accuracies.

        Args:
            figures: of the generator.
            split: whose windows.
            samples: of the generator.
            target: whose classes the windows have.

        Raises:
            ValueError: there are too few windows.
        """
        if samples is None:
            raise ValueError(f"{split} or train has too few windows to be judged")
        model, train = figures.model, figures.data.windows("train")
        n, speakers = len(samples.rows), figures.speakers(split, samples.rows)
        groups = figures.groups(split, samples.rows)
        windows = model.windows(samples.batch)
        heard = {"": self.hear(model.restored(samples.windows))}
        truth = self.truth(figures, split, samples.rows, target)
        real, answers = self.hear(model.restored(windows.frames))
        said = {"true": (truth, answers)}
        heard["_floor"] = self.hear(model.restored(model.windows(train[spread(len(train), n)]).frames))
        if model.network.has_encoder:
            with torch.inference_mode():
                made = [
                    model.network.decode(model.network.encode(x, c), c)
                    for x, c in zip(
                        torch.split(windows.frames, AT_ONCE), torch.split(windows.condition, AT_ONCE), strict=True
                    )
                ]
            heard["_reconstructed"] = self.hear(model.restored(torch.cat(made)))
            said["reconstructed"] = (truth, heard["_reconstructed"][1])
        if (asked := self.asked(figures, samples, target)) is not None:
            said["sampled"] = (asked, heard[""][1])
        found: Numbers = {}
        for name, (embedded, _) in heard.items():
            found |= distances(real, groups, embedded, f"/judge{name}")
        for name, (right, answer) in said.items():
            if (known := right >= 0).any():
                found[f"accuracy/{name}"] = accuracy(right[known], answer[known], speakers[known])
        return {
            name: one._replace(method=f"judge {self.run.folder}; {one.method or 'over speakers'}")
            for name, one in found.items()
        }

    def asked(self, figures: Figures, samples: Samples, target: str) -> NDArray[np.int64] | None:
        """The classes that samples were drawn for, among those of the judge; None: for none."""
        model = figures.model
        number = {name: i for i, name in enumerate(self.classes)}
        if self.run.config.target == "speaker" and model.speakers:
            which, names = samples.condition[:, len(model.labels) :], model.speakers
        elif self.run.config.target == target and model.labels:
            which, names = samples.condition[:, : len(model.labels)], model.labels
        else:
            return None
        found = [number.get(names[k], -1) for k in which.argmax(dim=1).tolist()]
        return np.where(which.sum(dim=1).numpy() > 0, np.array(found, np.int64), -1)
