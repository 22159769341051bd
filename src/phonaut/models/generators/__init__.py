"""Generators of windows of frames: autoencoders, adversarial networks, flow matching."""

from phonaut.models.generators.cvae import CVAE
from phonaut.models.generators.generator import Generator, Player, Windows, keyed_draw

__all__ = ["CVAE", "Generator", "Player", "Windows", "keyed_draw"]
