"""What a conversion does to codes and conditions of a generator: to another speaker, gender or label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phonaut.arrays import Array
from phonaut.models.generators import FHVAE, Windows
from phonaut.models.window_model import WindowModel
from phonaut.names import did_you_mean, some
from phonaut.tasks.latents import ATTRIBUTES, Latents


class Conversion(NamedTuple):
    """What is to become what.

    Attributes:
        target: `speaker:NAME`, `gender:f` or `label:NAME`.
        strength: codes move so many times the difference of means.
    """

    target: str
    strength: float = 1.0


class Change(NamedTuple):
    """What is done to recordings: `WindowModel.rebuilt` takes its fields.

    Attributes:
        heard: condition of windows that are encoded, `(K,)`; None: unknown.
        made: condition of those that are decoded, `(K,)`; None: the same.
        move: added to every code, `(Z,)`; None: nothing.
    """

    heard: Tensor | None = None
    made: Tensor | None = None
    move: Tensor | None = None

    def windows(self, model: WindowModel, windows: Windows) -> Tensor:
        """Normalised windows `(B, T, D)`, converted; what else they are conditioned on stays."""
        heard = made = windows.condition
        if self.made is not None:
            n = len(model.labels)
            part = slice(0, n) if self.made[:n].any() else slice(n, None)
            heard, made = heard.clone(), made.clone()
            heard[:, part] = 0.0 if self.heard is None else self.heard[part]
            made[:, part] = self.made[part]
        codes = model.network.encode(windows.frames, heard)
        return model.network.decode(codes if self.move is None else codes + self.move, made)


def attribute_of(text: str) -> tuple[str, str]:
    """`speaker:NAME` as a pair.

    Raises:
        ValueError: it is none.
    """
    attribute, colon, name = text.partition(":")
    if not colon or attribute not in ATTRIBUTES or not name:
        raise ValueError(f"{text!r}: must be speaker:NAME, gender:f, gender:m or label:NAME")
    return attribute, name


def change_of(
    model: WindowModel,
    latents: Latents,
    conversion: Conversion,
    *,
    source: str | None = None,
    start: Array | None = None,
) -> Change:
    """How recordings of `source` are converted.

    Where the generator is conditioned on what is converted, the condition is exchanged; that of a gender is the mean
    over the conditions of its speakers. Else the difference of the mean codes of both values is added to every code
    (Hsu, Zhang and Glass 2017, "Learning latent representations for speech generation and transformation", section
    4.2). Of an FHVAE, speaker and gender move the code of the sequence alone, and labels that of the segment.

    Args:
        model: the generator.
        latents: its mean codes.
        conversion: what they become.
        source: what recordings are, of the same kind; None: not known.
        start: in place of the mean code of `source`, `(Z,)`.

    Raises:
        ValueError: a value is not known, or the generator has no use for `strength`.
    """
    attribute, name = attribute_of(conversion.target)
    origin = None if source is None else attribute_of(source)
    if origin is not None and origin[0] != attribute:
        raise ValueError(f"source={source} and target={conversion.target}: both must be of one kind")
    if model.labels if attribute == "label" else model.speakers:
        if conversion.strength != 1.0:
            raise ValueError(
                f"strength={conversion.strength:g} is of codes that move, and this generator exchanges its condition"
            )
        heard = None if origin is None else condition_of(model, latents, *origin)
        return Change(heard, condition_of(model, latents, attribute, name))
    mean = latents.mean(attribute, name)  # which says what is not known
    move = latents.move(attribute, None if origin is None else origin[1], name) if start is None else mean - start
    if isinstance(model.network, FHVAE):
        n = model.network.segment_latents
        move[slice(n, None) if attribute == "label" else slice(0, n)] = 0.0
    return Change(move=torch.from_numpy((conversion.strength * move).astype(np.float32)))


def condition_of(model: WindowModel, latents: Latents, attribute: str, name: str) -> Tensor:
    """The condition `(K,)` of a class, of a speaker, or of all training speakers of a gender in equal shares.

    Raises:
        ValueError: the generator does not know it.
    """
    if attribute == "gender":
        latents.mean(attribute, name)  # which says what is not known
        names, genders = latents.arrays["of/speaker"], latents.arrays["of/gender"]
        speakers = np.unique(names[genders == name]).tolist()
    else:
        speakers = [name]
    known = model.labels if attribute == "label" else model.speakers
    if unknown := [one for one in speakers if one not in known]:
        near = did_you_mean(unknown[0], known)
        raise ValueError(f"{attribute}={unknown[0]} is none of its {len(known)}{near}; they are {some(known)}")
    index = torch.tensor([known.index(one) for one in speakers])
    nobody = torch.full_like(index, -1)
    one_hot = model.condition(index, nobody) if attribute == "label" else model.condition(nobody, index)
    return one_hot.mean(dim=0)
