"""What a configuration with a pre-trained encoder in front of its model implies, and what of it cannot be run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from phonaut.checkpoints.imported import Compose, folder_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

CHOICES = ("features", "model", "normalizer")


def encodes(config: DictConfig) -> bool:
    """Whether an encoder stands in front of the model."""
    return bool(config.get("encoder") and config.encoder.run)


def finish(config: DictConfig, compose: Compose) -> None:
    """Take over from the encoder's run what the encoder is built of, so that the new run needs that one no more.

    Args:
        config: is changed.
        compose: what composes a configuration, for the run that a checkpoint becomes.

    Raises:
        ValueError: there is no such run or checkpoint, or it is none of pre-training.
    """
    from omegaconf import DictConfig, OmegaConf, open_dict

    if not encodes(config):
        return
    run = OmegaConf.load(folder_of(str(config.encoder.run), compose) / "config.yaml")
    assert isinstance(run, DictConfig)
    if not str(run.module._target_).endswith(".Representation"):
        raise ValueError(f"encoder.run={config.encoder.run} is no pre-trained encoder, but model={run.choices.model}")
    with open_dict(config):
        config.encoder.built = {name: run.get(name) for name in CHOICES}
        config.features, config.choices.features = run.features, run.choices.features


def problems(config: DictConfig, overrides: Sequence[str]) -> list[str]:
    """All that is wrong with an encoder in front; empty if there is none."""
    from hydra.utils import get_class

    from phonaut.models.encoded import wrong_use
    from phonaut.tasks.pretraining import pretrains

    if not encodes(config):
        return []
    chosen = config.encoder
    run, features = f"encoder.run={chosen.run}", config.choices.features
    if pretrains(config):
        return [f"{run} stands in front of other models; model={config.choices.model} is an encoder itself"]
    found = wrong_use(chosen.mode, chosen.layer, int(chosen.built.model.n_layers))
    typed = [text for text in overrides if text.lstrip("+~").startswith(("features=", "features."))]
    if typed and typed != [f"features={features}"]:
        found.append(f"{typed[0]}: the features are those of {run}, {features}; leave it out")
    if hasattr(get_class(config.dataset._target_), "frame_layout"):
        found.append(f"{run} begins with recordings, and dataset={config.choices.dataset} has frames: leave one out")
    if config.streaming and not (chosen.built.model.causal and config.features.get("framing") == "causal"):
        found.append(f"streaming=true: {run} sees later frames; pre-train with objective=apc streaming=true")
    if chosen.mode != "frozen" and config.choices.module in ("em", "hybrid"):
        found.append(
            f"encoder.mode={chosen.mode} is trained by gradients, and model={config.choices.model} by EM: leave it out"
        )
    if chosen.mode == "frozen" and chosen.layer == "weighted":
        found.append("encoder.layer=weighted needs weights that are trained: type encoder.mode=weighted")
    n, most = chosen.n_components, width(config)
    if n is not None and not 1 <= n <= most:
        found.append(f"encoder.n_components={n}: from 1 to {most}, what the encoder gives")
    if n is not None and chosen.mode != "frozen":
        found.append(f"encoder.n_components={n} is fitted before training, and encoder.mode={chosen.mode} changes what "
                     "it was fitted to: leave one out")  # fmt: skip
    return found


def width(config: DictConfig) -> int:
    """Features of the representations that a model gets, before any projection."""
    model = config.encoder.built.model
    return int(model.hidden_size) * (int(model.n_layers) + 1 if config.encoder.layer == "all" else 1)
