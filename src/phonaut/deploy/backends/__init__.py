"""What runs an exported model: one file for each backend, found by its name.

A backend is a module with

    SUFFIX    of its files
    INPUTS    what its files take: audio, features
    FLOAT     it also runs networks that are not quantised
    DENSITIES  and Gaussian mixtures, HMMs of them, and prototypes
    PACKAGES  what it needs: a module, and the sentence that says how to install it
    NATIVE    this computer runs them with the code of the device: their latency says something
    write(model, path, *, n_samples, about, features) -> Written
    write_stream(model, path, *, about, window_ms)    where models stream there: what opens the file and runs it

`write` refuses in a sentence (`ValueError`) what it cannot write, and says how to install a package that is missing.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from phonaut.arrays import Array
from phonaut.deploy.density_graph import DensityGraph, why_no_density_graph
from phonaut.deploy.prototype_graph import PrototypesGraph
from phonaut.deploy.quantized_graph import QuantizedGraph
from phonaut.deploy.rounded_steps import Form
from phonaut.models.generative_classifier import GenerativeClassifier
from phonaut.models.prototypes import Prototypes
from phonaut.models.speech_model import SpeechModel
from phonaut.networks.convolutional import ConvolutionalNetwork
from phonaut.networks.quantized import QuantizedNetwork
from phonaut.networks.recurrent import Recurrent

RETIRED = {
    "torchmobile": "backend=torchmobile: PyTorch Mobile is no longer developed; ExecuTorch replaces it: "
    "backend=executorch",
}
GRAPHS: dict[type, Callable[..., nn.Module]] = {GenerativeClassifier: DensityGraph, Prototypes: PrototypesGraph}


class Written(NamedTuple):
    """A file that was written.

    Attributes:
        any_length: it takes inputs of any length, else those of the example alone.
        run: it, on this computer: an input `(1, ...)` to scores `(1, C)`.
        plan: lines for people on what it needs.
    """

    any_length: bool
    run: Callable[[Array], Array]
    plan: tuple[str, ...] = ()


def names() -> list[str]:
    """Of all backends."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def backend(name: str) -> Any:
    """The module of a backend.

    Raises:
        ValueError: there is none of this name.
    """
    if name in RETIRED:
        raise ValueError(RETIRED[name])
    if name not in names():
        raise ValueError(f"backend={name} is none of {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def problems(name: str, network: type, *, has_bits: bool, model: str, density: object = None) -> list[str]:
    """Why networks of a class, which users know as `model`, cannot be exported for a backend: known beforehand.

    Of a classifier by densities, `density` is the class of its emissions.
    """
    try:
        runtime = backend(name)
    except ValueError as error:
        return [str(error)]
    kinds: tuple[type, ...] = (ConvolutionalNetwork, Recurrent)
    if not issubclass(network, (*kinds, *GRAPHS) if runtime.DENSITIES else kinds):
        are = ", Gaussian mixtures and HMMs of them are" if runtime.DENSITIES else " are"
        return [f"backend={name}: model={model} is not exported: networks of convolutions and recurrences{are}"]
    if density is not None and (reason := why_no_density_graph(density)):
        return [f"backend={name}: {reason}"]
    if issubclass(network, Recurrent) and (has_bits or not runtime.FLOAT):
        return [
            f"backend={name}: recurrent networks in few bits have no kernels there: leave compress= or backend= out"
        ]
    if not runtime.FLOAT and not has_bits:
        return [f"backend={name} computes with integers: type compress=linear_8_8_8"]
    return sorted({say for package, say in runtime.PACKAGES.items() if importlib.util.find_spec(package) is None})


def with_graph(model: SpeechModel, form: Form) -> SpeechModel:
    """A model whose network is the graph that runtimes take, where it is quantised or of densities."""
    for kind, graph in GRAPHS.items():
        if isinstance(model.network, kind):
            return SpeechModel(model.front_end, graph(model.network), model.normalizer).eval()
    if not isinstance(model.network, QuantizedNetwork):
        return model
    return SpeechModel(model.front_end, QuantizedGraph(model.network, form=form), model.normalizer).eval()


def in_floating_point(model: SpeechModel) -> SpeechModel:
    """A model with the network that it was before it was quantised."""
    network: nn.Module = model.network.network if isinstance(model.network, QuantizedNetwork) else model.network
    return SpeechModel(model.front_end, network, model.normalizer).eval()
