"""Pre-training: an encoder learns to predict frames that it does not see, from recordings without labels."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.config.check import option_problems
from phonaut.config.nodes import class_of, instantiate
from phonaut.config.plugins import node_of_group
from phonaut.config.schema import Config
from phonaut.data.unlabelled import UnlabelledData
from phonaut.files import write_arrays, write_bytes
from phonaut.metrics import Estimate, mean_over
from phonaut.models.memory import Memory, estimate
from phonaut.models.representation_model import RepresentationModel
from phonaut.networks.mockingjay import Mockingjay
from phonaut.peers import is_first
from phonaut.tasks import build, mixes, probe_runs
from phonaut.tasks.base import Metrics, Request, Task, Trained
from phonaut.tasks.encoders import load_encoder
from phonaut.tasks.frame_source import Frames, frames_of
from phonaut.tasks.recordings import prepared_files
from phonaut.training.callbacks.reconstructions import Reconstructions
from phonaut.training.loop import TrainingLoop
from phonaut.training.representation import Representation
from phonaut.training.trainer_options import n_processes

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

MIN_SHIFT_S = 0.005  # between representations: attention compares all pairs of them
CUTS = "cuts.txt.gz"  # all recordings that a run has seen


class Pretraining(Task):
    """The mean absolute error of predicted frames, on a mix of corpora divided by speaker."""

    targets = ("none",)
    has_encoder = True
    optional_weights = "head."
    unused = "backend batch_size labels_pct labels_each context_s classes n_classes generated negatives"
    metrics = ("loss",)
    report = ("headline", "training", "reconstructions", "steps", "setup")

    # --- configuration

    def name(self, config: Config) -> str:
        """The objective."""
        return str(config.choices["objective"])

    def finish(self, config: Config) -> None:
        """No target, a causal encoder where the objective asks for one, a mix of corpora at one sample rate.

        Raises:
            ValueError: a part of the mix is not described as it should be.
        """
        if config.target == "keyword":  # the default
            config.target = "none"
        if config.objective and "causal" in config.model and config.model["causal"] is None:
            config.model["causal"] = bool(class_of(config.objective).causal)
        if config.choices.get("protocol") != "unlabelled":
            config.protocol, config.choices["protocol"] = node_of_group("protocol", "unlabelled", {}, {}), "unlabelled"
        mixes.finish(config)
        if config.target_features:
            config.target_features["sample_rate"] = config.features["sample_rate"]

    def check(self, config: Config) -> list[str]:
        """All problems of a configuration of pre-training."""
        wrong = objective_problems(config)
        if config.target != "none":
            wrong.insert(0, f"target={config.target}: pre-training has no classes; leave target out")
        if not issubclass(class_of(config.model), Mockingjay):
            model = config.choices["model"]
            return [*wrong, f"task=pretraining trains encoders, and model={model} is none: leave task out"]
        names = ("batch_frames", "n_workers", "max_recording_s")
        wrong += UnlabelledData.problems(**{name: getattr(config, name) for name in names})
        if config.augmentation and config.choices["augmentation"] != "none":
            augmentation = config.choices["augmentation"]
            wrong.append(f"augmentation={augmentation}: pre-training alters frames by its objective; leave it out")
        return wrong or frame_problems(config)

    # --- training

    def data(self, config: Config) -> UnlabelledData:
        """Batches of the mix of `config.dataset`."""
        return UnlabelledData(
            build.prepared_corpus(config),
            frame_samples=instantiate(config.features).layout.hop_length,
            batch_frames=config.batch_frames,
            seed=config.seed,
            weights={part["name"]: part["weight"] for part in config.dataset["corpora"]},
            n_workers=config.n_workers,
            max_recording_s=config.max_recording_s,
        )

    def model(self, config: Config, classes: list[str]) -> RepresentationModel:
        """Front ends, normaliser, encoder and head."""
        torch.manual_seed(config.seed)
        front_end = instantiate(config.features)
        network = instantiate(config.model, n_features=front_end.n_features)
        normalizer, target = build.optional(config.normalizer), build.optional(config.target_features)
        return RepresentationModel(front_end, network, normalizer, target)

    def begin(self, config: Config, folder: Path, model: RepresentationModel, data: UnlabelledData) -> None:
        """Write down what the run sees, a line an utterance: its split and its id; say what memory a step takes."""
        if not is_first():
            return
        text = "".join(f"{line}\n" for line in data.utterances())
        write_bytes(folder / CUTS, gzip.compress(text.encode("utf-8", "backslashreplace"), mtime=0))
        memory = step_memory(config, model, data)
        print(f"memory     {memory} at most in a step, beside the program; batch_frames={config.batch_frames}")

    def loop(self, config: Config, model: RepresentationModel, data: UnlabelledData) -> TrainingLoop:
        """The loop around a model, with its objective."""
        assert config.objective is not None
        return build.training_loop(config, model, instantiate(config.objective))

    def callbacks(self, config: Config, folder: Path) -> list[Callback]:
        """Probes after every epoch, and pictures of reconstructions."""
        probes: list[Callback] = [probe_runs.online_probe(config, folder)] if config.probe else []
        return [*probes, Reconstructions()]

    # --- evaluation

    def conclude(
        self, config: Config, folder: Path, loop: TrainingLoop, data: UnlabelledData
    ) -> tuple[Metrics, dict[str, Any]]:
        """The loss on the validation split with its interval over speakers, and that of simple guesses."""
        assert isinstance(loop, Representation)
        device = build.device_of(config.trainer)
        loop = loop.to(device).eval()
        model: RepresentationModel = loop.model
        precision = torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_half(config))
        sums, rows, guessed = [], [], dict[str, list[NDArray[np.float32]]]()
        with torch.inference_mode(), precision:
            for batch in data.batches("validation"):
                batch = batch.to(device)
                sums.append(loop.recording_losses(batch, "validation").cpu().numpy())
                for name, of in loop.guess_losses(batch, "validation").items():
                    guessed.setdefault(name, []).append(of.cpu().numpy())
                rows.append(batch.rows.cpu().numpy())
        loop.cpu()
        if samples := loop.samples(data):
            write_arrays(folder / "samples.npz", samples)
        speakers = data.prepared.utterances("validation").speaker[np.concatenate(rows)]
        shift_s, offset_s = model.network.times(model.front_end.frame_shift_s, model.front_end.frame_offset_s)
        about = {
            "objective": str(config.choices["objective"]),
            "n_outputs": model.network.n_outputs,
            "frame_shift_s": shift_s,
            "frame_offset_s": offset_s,
            "head_parameters": sum(p.numel() for p in model.head.parameters()),
            "guesses": {name: over_speakers(of, speakers).as_dict() for name, of in guessed.items()},
        }
        return {"validation": {"loss": over_speakers(sums, speakers).as_dict()}}, about

    def evaluate(self, run: Trained, request: Request) -> tuple[str, None]:
        """Probe every checkpoint with a corpus and a target, as words of a configuration; see `probe.json`.

        Raises:
            ValueError: no corpus is named.
        """
        if not any(word.startswith(("dataset=", "target=")) for word in request.overrides):
            raise ValueError(f"{run.folder} is a pre-trained encoder: it has no classes to score; name what a probe "
                             "should tell: dataset=... target=...")  # fmt: skip
        probe_runs.probe_run(run, list(request.overrides), request.progress)
        return "probe", None

    def predict(self, run: Trained, recordings: list[Path]) -> list[NDArray[np.float32]]:
        """The representations of each recording, `(T, H)`, of the last layer."""
        source = self.frames(run, None)
        device = build.device_of(run.config.trainer)
        source.module.to(device)
        with prepared_files(recordings, int(source.front_end.sample_rate)) as prepared:
            table = prepared.utterances("test")
            answers = dict(frames_of(source, table, run.config.max_recording_s, device))
        return [answers[row] for row in range(len(recordings))]

    def frames(self, run: Trained, layer: str | int | None) -> Frames:
        """The representations of a layer, by default the last."""
        if layer == "weighted":
            raise ValueError(
                f"layer=weighted needs weights that were trained: train a model with encoder.run={run.folder} "
                "encoder.mode=weighted, and extract from that run"
            )
        config = run.config
        built = {"features": config.features, "model": config.model, "normalizer": config.normalizer}
        encoder = build.encoder_of(built, layer="last" if layer is None else layer)
        load_encoder(encoder, run.folder)
        return Frames(encoder.eval(), encoder, encoder)


def over_speakers(sums: list[NDArray[np.float32]], speakers: NDArray[Any]) -> Estimate:
    """The mean of errors, sum and number by recording in batches, with its interval."""
    return mean_over(np.concatenate(sums).astype(np.float64), speakers)


def objective_problems(config: Config) -> list[str]:
    """Problems of the objective, and of a network that sees what it should not."""
    if not config.objective:
        return ["objective=null: pre-training needs one (apc, mockingjay, tera)"]
    name = config.choices["objective"]
    try:
        objective = instantiate(config.objective)
    except ValueError as error:
        return str(error).split("; ")
    if objective.causal and config.model.get("causal") is False:
        return [f"objective={name} predicts what comes, and model.causal=false sees it: leave model.causal out"]
    return []


def frame_problems(config: Config) -> list[str]:
    """Frames that are too many, or of input and target that do not lie one on the other."""
    if option_problems(config):
        return []  # no front end can be made
    front_end = instantiate(config.features)
    target = instantiate(config.target_features) if config.target_features else front_end
    wrong = []
    shift_s = front_end.frame_shift_s * config.model["stack_size"]
    if shift_s < MIN_SHIFT_S:
        wrong.append(f"features={config.choices['features']} gives a frame every {shift_s * 1e3:.2g} ms, and attention "
                     f"compares all pairs of them: the shift must be >= {MIN_SHIFT_S * 1e3:g} ms")  # fmt: skip
    ours, theirs = front_end.layout, target.layout
    same = (front_end.frame_shift_s, front_end.frame_offset_s) == (target.frame_shift_s, target.frame_offset_s)
    if not same or any(ours.n_frames(n) != theirs.n_frames(n) for n in (1, 399, 400, 3999, 16001)):
        wrong.append(
            f"features={config.choices['features']} and target_features={config.choices['target_features']} have their "
            f"frames at other times (every {ours.hop_length} and {theirs.hop_length} samples, the first at "
            f"{ours.offset:g} and {theirs.offset:g}): give both the same hop_length and framing, and with snip_edges "
            "the same win_length"
        )
    return wrong


def step_memory(config: Config, model: RepresentationModel, data: UnlabelledData) -> Memory:
    """The memory of a step on each process: that of the largest batch that there can be."""
    assert config.objective is not None
    longest = int(max(data.n_frames(split).max() for split in ("train", "validation")))
    share = config.objective.get("mask_prob")
    if share is None or config.objective.get("mask_frequency"):
        share = 1.0
    n_frames = -(-int(data.batch_frames) // n_processes(config.trainer)) + longest
    return estimate(model, n_frames, longest, share=float(share), half=is_half(config))


def is_half(config: Config) -> bool:
    """True where the run computes in bfloat16."""
    return str(config.trainer["precision"]).startswith("bf16")
