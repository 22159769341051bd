"""Problems of a configuration with a pre-trained encoder in front of its model."""

from __future__ import annotations

from collections.abc import Sequence

from phonaut.config.nodes import class_of, instantiate
from phonaut.config.schema import Config


def problems(config: Config, overrides: Sequence[str]) -> list[str]:
    """All problems of an encoder in front; empty if there is none."""
    from phonaut.models.encoded import use_problems
    from phonaut.models.encoded_windows import width_of_codes, window_problems
    from phonaut.models.encoded_words import word_problems
    from phonaut.models.generators import Generator
    from phonaut.networks.mockingjay import Mockingjay

    chosen = config.encoder
    if not chosen.run or chosen.built is None:
        return []
    run, features = f"encoder.run={chosen.run}", config.choices["features"]
    encoder = chosen.built["model"]
    assert encoder is not None
    if instantiate(config.task).has_encoder:
        return [f"{run} stands in front of other models; model={config.choices['model']} is an encoder itself"]
    kind = class_of(encoder)
    is_generator = issubclass(kind, Generator)
    if is_generator and not kind.has_encoder:
        return [f"{run} has no encoder: a {kind.__name__} makes windows of draws, and codes none"]
    if is_generator:
        wrong = window_problems(chosen.mode, chosen.layer, kind)
    elif not issubclass(kind, Mockingjay):
        wrong = word_problems(chosen.mode, chosen.layer, kind)
    else:
        wrong = use_problems(chosen.mode, chosen.layer, int(encoder["n_layers"]))
    typed = [text for text in overrides if text.lstrip("+~").startswith(("features=", "features."))]
    if typed and typed != [f"features={features}"]:
        wrong.append(f"{typed[0]}: the features are those of {run}, {features}; leave it out")
    if hasattr(class_of(config.dataset), "frame_layout"):
        wrong.append(f"{run} begins with recordings, and dataset={config.choices['dataset']} has frames: leave one out")
    if config.streaming and not (encoder.get("causal") and config.features.get("framing") == "causal"):
        wrong.append(f"streaming=true: {run} sees later frames; pre-train with objective=apc streaming=true")
    if chosen.mode != "frozen" and not class_of(config.module).trains_encoders:
        wrong.append(
            f"encoder.mode={chosen.mode} is trained by gradients, and model={config.choices['model']} by EM: leave it "
            "out"
        )
    if chosen.mode == "frozen" and chosen.layer == "weighted":
        wrong.append("encoder.layer=weighted needs weights that are trained: type encoder.mode=weighted")
    if is_generator:
        most = width_of_codes(chosen.layer, int(encoder["latent_size"]), int(encoder.get("sequence_latents") or 0))
    elif not issubclass(kind, Mockingjay):
        most = instantiate(encoder, n_features=instantiate(config.features).n_features).classifier.in_features
    else:
        most = encoder["hidden_size"] * (encoder["n_layers"] + 1 if chosen.layer == "all" else 1)
    n = chosen.n_components
    if n is not None and not 1 <= n <= most:
        wrong.append(f"encoder.n_components={n}: must be from 1 to {most}, the features of the encoder")
    if n is not None and chosen.mode != "frozen":
        wrong.append(f"encoder.n_components={n} is fitted before training, and encoder.mode={chosen.mode} changes what "
                     "it was fitted to: leave one out")  # fmt: skip
    return wrong
