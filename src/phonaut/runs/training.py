"""Train a run from its configuration to its metrics, or take it up where it was left."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException

from phonaut.checkpoints.state_dict import write_weights
from phonaut.config.check import watchers
from phonaut.config.compose import read_config, to_yaml
from phonaut.config.nodes import instantiate
from phonaut.config.schema import Config
from phonaut.files import locked, sweep, unless_refused, write_json, write_text
from phonaut.models import SpeechModel
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.names import as_typed
from phonaut.networks import ModelSize, count
from phonaut.networks.quantized import QuantizedNetwork
from phonaut.peers import ALONE, Peers, Place, is_first, is_lost_connection, place, see
from phonaut.runs.held_out import held_out, remove_folds
from phonaut.runs.hyper_parameters import write_hyper_parameters
from phonaut.runs.profile import head_of
from phonaut.runs.resume import as_begun, differences, state_of
from phonaut.runs.run import Run, empty
from phonaut.runs.trainer import Title, trainer_of
from phonaut.tasks import cross_validation
from phonaut.tasks.added_data import check_same
from phonaut.tasks.base import Task
from phonaut.tasks.build import check_same_recordings
from phonaut.tasks.predictions import Predictions
from phonaut.training.averaging import AveragedCheckpoint
from phonaut.training.checkpointing import chosen_weights, newest_readable_checkpoint
from phonaut.training.corpus_module import CorpusModule
from phonaut.training.trainer_options import n_processes


def train(config: Config, folder: Path, command: Sequence[str]) -> Run | None:
    """Prepare what is missing, train, evaluate on validation and test; resume where a run of the same id was left.

    Args:
        config: composed and checked.
        folder: of the run.
        command: the words that would start this run again; shown and kept.

    Returns:
        The finished run; None in the processes of `ddp` that are not the first.

    Raises:
        ValueError: the folder holds another run, or the corpus cannot be used.
    """
    here = place()
    if here.n == 1 and not is_first():  # started by Lightning for ddp: the first process has done the rest
        fit(as_begun(folder, config, command), folder)
        return None
    check_processes(config, here)
    with Peers(here) as peers:
        if here.rank > 0:
            follow(config, folder, command, peers)
            return None
        with unless_refused(folder), locked(folder / ".lock", wait=False):
            lead(config, folder, command, peers)
    return Run(folder)


def check_processes(config: Config, here: Place) -> None:
    """Refuse other processes than the configuration asks for.

    Raises:
        ValueError: torchrun or srun started more, or fewer.
    """
    n = n_processes(config.trainer)
    if here.n not in (1, n) or (here.n > 1 and here.n_machines != config.trainer["num_nodes"]):
        asked = f"trainer.num_nodes={config.trainer['num_nodes']} trainer.devices={config.trainer['devices']}"
        per_machine = here.n // here.n_machines
        raise ValueError(
            f"{here.n} processes were started on {here.n_machines} machines, and {asked} is {n} in all: "
            f"type trainer.num_nodes={here.n_machines} trainer.devices={per_machine}"
        )


def lead(config: Config, folder: Path, command: Sequence[str], peers: Peers) -> None:
    """Train as the first, or the only, process: it prepares, decides, writes and evaluates.

    Raises:
        ValueError: the folder holds another run, or the corpus cannot be used, here or on another machine.
    """
    for inside in (folder, folder / "checkpoints", folder / "predictions"):
        sweep(inside)
    if not config.overwrite:
        config = as_begun(folder, config, command)
    state = "new" if config.overwrite else state_of(folder, config.to_dict())
    if state == "finished":
        print(f"{folder} is finished; overwrite=true trains it again, a larger trainer.max_epochs continues it")
        peers.say("begun")
        return
    parts = build(config)  # what is refused is refused before there is a run
    if state == "new":
        empty(folder)
    else:
        check_same_recordings(Run(folder).corpus, parts[2].prepared, f"choose another experiment_id than {folder}'s")
        if begun := Run(folder).corpus:
            check_same(begun.get("generated", {}), getattr(parts[2], "generated", {}))
    if not config.resume:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        remove_folds(folder)
    (folder / "metrics.json").unlink(missing_ok=True)  # written last: a run without it is unfinished
    again = as_typed(begin(config, folder, command))
    write_json(folder / "corpus.json", about_corpus(parts[2]))
    started = time.monotonic()
    try:
        pooled = held_out(config, folder, train_fold) if cross_validation.is_few(config) else None
        peers.say("begun", as_seen(folder))
        peers.agree("built")
        fit(config, folder, parts, peers, f"run        {folder}\nto resume  {again}")
        conclude(config, folder, *parts, pooled)
        remove_folds(folder)
    except (KeyboardInterrupt, BrokenPipeError) as stop:
        stop.add_note(f"{again} goes on" + (" from the last checkpoint" if Run(folder).begun else ""))
        raise
    except ValueError:
        if not parts[1].started and not Run(folder).begun:  # refused by the Trainer, or on another machine
            empty(folder)
        raise
    environment = Run(folder).environment
    write_json(folder / "environment.json", environment | {"seconds": round(time.monotonic() - started, 1)})


def train_fold(config: Config, folder: Path) -> None:
    """Train and test a fold of a run, whose files lie in a folder of their own until the run is finished.

    Raises:
        ValueError: the corpus cannot be used so.
    """
    write_text(folder / "config.yaml", to_yaml(config))
    conclude(config, folder, *fit(config, folder))


def follow(config: Config, folder: Path, command: Sequence[str], peers: Peers) -> None:
    """Train as another process than the first, once that one has prepared the data and begun the run.

    Raises:
        ValueError: the first process refuses the run, or this machine has other files or other words.
    """
    if not (begun := peers.hear("begun")):
        return  # the run is finished
    see(lambda: as_seen(folder) == begun, str(folder))
    config = as_begun(folder, config, command)
    if others := differences(read_config(folder).to_dict(), config.to_dict()):
        raise ValueError(f"the words of this machine are not those of the first one: {', '.join(others)}")
    parts = build(config)
    check_same_recordings(Run(folder).corpus, parts[2].prepared, "give every machine the same ones")
    peers.agree("built")
    fit(config, folder, parts, peers)


def as_seen(folder: Path) -> str:
    """What tells apart the states of a run in which training starts: when it was begun, and its checkpoints."""
    files = sorted((folder / "checkpoints").glob("*.ckpt"))
    return json.dumps([Run(folder).environment.get("started"), *([file.name, file.stat().st_size] for file in files)])


def begin(config: Config, folder: Path, command: Sequence[str]) -> str:
    """Write down what is run; the command that takes it up again."""
    resume = shlex.join(command)
    write_text(folder / "config.yaml", to_yaml(config))
    write_json(folder / "environment.json", environment(config.seed, resume))
    return resume


def build(config: Config) -> tuple[Task, Any, Any]:
    """The parts of a run, with fresh weights: its task, its training loop around a model, and its data.

    Raises:
        ValueError: the corpus cannot be used.
    """
    task: Task = instantiate(config.task)
    data = task.data(config)
    model = task.model(config, list(getattr(data, "classes", [])))
    return task, task.loop(config, model, data), data


def fit(
    config: Config,
    folder: Path,
    parts: tuple[Task, Any, Any] | None = None,
    peers: Peers = ALONE,
    title: str = "",
) -> tuple[Task, Any, Any]:
    """Train to the end, from the newest checkpoint where there is one.

    Args:
        config: of the run.
        folder: of the run.
        parts: what `build` gives; None: built here.
        peers: the processes that train with this one.
        title: printed once nothing is refused any more.

    Returns:
        The parts, the loop with the weights to keep.

    Raises:
        ValueError: the options of the Trainer cannot be carried out.
        OSError: another process is gone.
    """
    task, loop, data = parts or build(config)
    n_batches = {
        split: len(data.sampler(split)) if len(data.dataset(split)) else 0 for split in ("train", "validation")
    }
    if watching := [] if n_batches["validation"] and config.trainer["limit_val_batches"] else watchers(config):
        raise ValueError(f"{watching[0]} watches the validation, and there is none in {data.prepared.name}")
    task.begin(config, folder, loop.model, data)
    checkpoint = newest_readable_checkpoint(folder / "checkpoints")
    if checkpoint is not None and is_first():
        title += f"\nresuming from {checkpoint}"
    try:
        is_em = not loop.automatic_optimization
        more = [*task.callbacks(config, folder), *([Title(title, at_once=is_em)] if title else [])]
        trainer = trainer_of(config, folder, more, is_em=is_em, n_batches=n_batches)
        with peers.together():
            trainer.fit(loop, datamodule=CorpusModule(data), ckpt_path=checkpoint)
    except (SIGTERMException, SystemExit) as stop:  # which end the process as if all were well, or without a word
        raise KeyboardInterrupt from stop
    except MisconfigurationException as error:
        raise ValueError(" ".join(str(error).split())) from error
    except RuntimeError as error:
        if peers.n > 1 and is_lost_connection(error):
            raise peers.why_lost() from error
        raise
    if config.profiler and trainer.is_global_zero:
        print("\n".join(head_of(folder)), flush=True)
    callback = trainer.checkpoint_callback
    if isinstance(callback, AveragedCheckpoint):
        average(loop, callback, data)
    elif isinstance(callback, ModelCheckpoint) and (weights := chosen_weights(callback)) is not None:
        loop.load_state_dict(weights)
    loop.float()  # of trainer.precision=64-true
    return task, loop, data


def average(loop: Any, callback: AveragedCheckpoint, data: Any) -> None:
    """Give what was trained the mean of the weights of the kept epochs, where there are several."""
    weights, epochs = callback.mean()
    if len(epochs) > 1:
        loop.load_state_dict(weights)
        loop.averaged_epochs = epochs
        loop.renormalise(data)


def conclude(config: Config, folder: Path, task: Task, loop: Any, data: Any, pooled: Predictions | None = None) -> None:
    """Evaluate the chosen weights and write the run's files; `metrics.json` comes last.

    Args:
        config: of the run.
        folder: of the run.
        task: its task.
        loop: with the weights.
        data: its data.
        pooled: predictions of its folds, which are those of its test.
    """
    metrics, about = task.conclude(config, folder, loop, data)
    if pooled is not None:
        metrics["test"], more = cross_validation.pooled_figures(pooled, task.metrics)
        pooled.save(folder / "predictions" / "test.npz")
        about |= more
    model: SpeechModel = loop.model.cpu().eval()
    write_weights(folder / "model.safetensors", model.state_dict())
    best = best_epoch(loop.history, config.checkpoint["monitor"], config.checkpoint["mode"])
    size, n_epochs = size_of(model, data), len(loop.history)
    times = {"train_seconds": round(loop.seconds, 1), "epochs": n_epochs, "best_epoch": best}
    averaged = {"averaged_epochs": loop.averaged_epochs} if loop.averaged_epochs else {}
    write_json(folder / "model.json", {"model": folder.name, **size, **times, **averaged, **about})
    write_json(folder / "history.json", loop.history)
    write_json(folder / "corpus.json", about_corpus(data))
    write_json(folder / "refused.json", [*data.prepared.refused, *data.refused])
    write_hyper_parameters(folder, config, metrics)
    write_json(folder / "metrics.json", metrics)


def about_corpus(data: Any) -> dict[str, Any]:
    """What a run keeps of its corpus."""
    prepared = data.prepared
    about = {"name": prepared.name, "notes": data.notes, "folder": str(prepared.folder), "summary": prepared.summary}
    made = {"generated": data.generated} if getattr(data, "generated", None) else {}
    return {**about, "digests": prepared.digests, **made}


def best_epoch(history: Sequence[dict[str, float]], monitor: str | None, mode: str) -> int:
    """The epoch whose weights are kept: the best by `monitor`, without one the last; -1 where it was never seen.

    >>> history = [{"epoch": 0, "loss": 2.0, "accuracy": 0.5}, {"epoch": 1, "loss": 3.0, "accuracy": 0.6}]
    >>> best_epoch(history, "loss", "min"), best_epoch(history, "accuracy", "max"), best_epoch([], "loss", "min")
    (0, 1, -1)
    """
    if monitor is None:
        return int(history[-1]["epoch"]) if history else -1
    seen = [line for line in history if monitor in line]
    best = (max if mode == "max" else min)(seen, key=lambda line: line[monitor], default={"epoch": -1})
    return int(best["epoch"])


def size_of(model: SpeechModel, data: Any) -> dict[str, int]:
    """Parameters, multiply-accumulates and activation memory for one clip, or one second where clips differ."""
    clip_s = data.prepared.clip_s or 1.0
    samples = torch.tensor([round(clip_s * model.front_end.sample_rate)])
    n_frames = int(model.front_end.n_frames(samples)[0])
    sizes: list[ModelSize] = []
    if isinstance(model.front_end, EncodedFrontEnd):
        front_end, encoder = model.front_end.front_end, model.front_end.network
        sizes.append(counted(encoder, int(front_end.n_frames(samples)[0]), front_end.n_features))
    sizes.append(counted(model.network, n_frames, model.front_end.n_features))
    totals = {name: sum(getattr(size, name) for size in sizes) for name in ("parameters", "macs")}
    return totals | {"activation_bytes": max(size.activation_bytes for size in sizes)}


def predicted_size(config: Config) -> dict[str, int]:
    """What `size_of` will say of the model of a configuration once it is trained; its corpus is prepared for it."""
    task: Task = instantiate(config.task)
    data = task.data(config)
    return size_of(task.model(config, list(getattr(data, "classes", []))).eval(), data)


def counted(network: Any, n_frames: int, n_features: int) -> ModelSize:
    """The size of a network, as it says itself or by a run of it, in floating point."""
    network = network.network if isinstance(network, QuantizedNetwork) else network
    if (size := getattr(network, "size", None)) is None:
        return count(network, n_frames, n_features)
    parameters, macs = size(n_frames)
    return ModelSize(parameters, macs, activation_bytes=0, layers=())


def environment(seed: int, command: str) -> dict[str, Any]:
    """Command, seed, versions, machine and time of a run."""
    import psutil

    versions = {name: metadata.version(name) for name in ("phonaut", "torch", "lightning", "numpy")}
    return {
        "command": command,
        "resume_command": command,
        "seed": seed,
        "versions": {"python": platform.python_version(), **versions},
        "git": commit(),
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            "system": platform.platform(),
        },
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": Path(sys.argv[0]).name,
    }


def commit() -> str | None:
    """The commit of a working copy of Phonaut; None of an installed one, or where there is no git."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def cpu_name() -> str:
    """The processor's name, as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
