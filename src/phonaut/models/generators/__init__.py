"""Generators of windows of frames: autoencoders, adversarial networks, flow matching."""

from phonaut.models.generators.cvae import CVAE
from phonaut.models.generators.fhvae import FHVAE
from phonaut.models.generators.flow_matching import FlowMatching
from phonaut.models.generators.generator import Generator, Player, Windows, keyed_draw
from phonaut.models.generators.wae import WAEGAN, WAEMMD
from phonaut.models.generators.wgan_gp import WGANGP

__all__ = [
    "CVAE",
    "FHVAE",
    "WAEGAN",
    "WAEMMD",
    "WGANGP",
    "FlowMatching",
    "Generator",
    "Player",
    "Windows",
    "keyed_draw",
]
