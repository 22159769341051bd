"""Commands in processes of their own, which may be killed: children of a server that has PyTorch loaded already."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from helpers.blank_pictures import leave_blank

CONTEXT = multiprocessing.get_context("forkserver")
# What a run would import of itself too, once for all of them.
OF_PHONAUT = ["runs.training", "reports.terminal", "models", "cli.train", "tasks.classification", "tasks.noise_test"]
OF_OTHERS = ["hydra", "matplotlib.backends.backend_agg", "safetensors.torch", "soundfile", "torch.utils.tensorboard"]
CONTEXT.set_forkserver_preload([f"phonaut.{name}" for name in OF_PHONAUT] + OF_OTHERS)


class Command:
    """`phonaut` with `words` in a folder.

    Args:
        folder: where it runs; made if it is not there.
        words: what stands after `phonaut`.
        before: is called first, in the new process; a function of `helpers`.
        *arguments: of `before`.
        **environment: variables in addition to those of this process.
    """

    def __init__(
        self,
        folder: Path,
        words: list[str],
        before: Callable[..., None] | None = None,
        *arguments: Any,
        **environment: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / f"output-{time.monotonic_ns()}.txt"
        given = (folder, words, self.file, {**os.environ, **environment}, before, arguments)
        self.process: ForkServerProcess = CONTEXT.Process(target=run, args=given, daemon=True)
        self.process.start()

    @property
    def output(self) -> str:
        """What it has printed, errors as well."""
        return self.file.read_text(encoding="utf-8") if self.file.exists() else ""

    @property
    def is_running(self) -> bool:
        return self.process.is_alive()

    def wait(self, timeout_s: float = 300.0) -> int | None:
        """Wait for its end; minus a signal where one ended it."""
        self.process.join(timeout_s)
        assert not self.process.is_alive(), f"it goes on after {timeout_s} s: {self.output}"
        return self.process.exitcode

    def finish(self) -> str:
        """Wait for an end without error; what it has printed."""
        code = self.wait()
        assert code == 0, self.output
        return self.output

    def kill(self) -> None:
        """Kill it, as `kill -9` does."""
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()


def train_by_two(folder: Path, words: list[str]) -> list[str]:
    """`phonaut train` on two machines; what each has printed."""
    ranks = [Command(folder, ["train", *words, "trainer.num_nodes=2"], **machine) for machine in two_machines()]
    return [command.finish() for command in ranks]


def two_machines() -> list[dict[str, str]]:
    """The variables that torchrun gives to the one process of each of two machines."""
    given = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", **meeting_place()}
    return [given | {"RANK": rank, "GROUP_RANK": rank} for rank in ("0", "1")]


def two_places() -> list[dict[str, str]]:
    """The variables that Lightning's launcher gives to each of two processes."""
    place = meeting_place()
    return [{**place, "NODE_RANK": "0", "LOCAL_RANK": rank} for rank in ("0", "1")]


def meeting_place() -> dict[str, str]:
    """The variables that say where processes meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def run_file(file: str, words: list[str], environment: dict[str, str]) -> None:
    """Be `python file words`."""
    os.environ.update(environment)
    sys.path.insert(0, str(Path(file).parent))
    sys.argv = [file, *words]
    runpy.run_path(file, run_name="__main__")


def run(
    folder: Path,
    words: list[str],
    output: Path,
    environment: dict[str, str],
    before: Callable[..., None] | None,
    arguments: tuple[Any, ...],
) -> None:
    """Be the command: in its folder, with its words, its output in a file."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(file), "w", buffering=1, encoding="utf-8") for _ in range(2))
    sys.argv = ["phonaut", *words]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    leave_blank()
    if before is not None:
        before(*arguments)
    from phonaut.cli import main

    sys.exit(main(words))


def note_steps(notes: Path, deadly: int = 0) -> None:
    """Note each training step of a classifier in a file, so that a test can count them through kills.

    Args:
        notes: the file, a line a step: epoch and batch.
        deadly: a signal that the process sends itself when the second epoch is validated; 0: none.
    """
    from phonaut.training.gradient import SpeechClassifier

    step, validated = SpeechClassifier.training_step, SpeechClassifier.on_validation_epoch_end
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def noted(self: Any, batch: Any, batch_idx: int) -> Any:
        os.write(file, f"{self.current_epoch} {batch_idx}\n".encode())
        time.sleep(0.01)  # leaves room for a kill in mid-epoch
        return step(self, batch, batch_idx)

    def last_words(self: Any) -> None:
        validated(self)
        if deadly and self.current_epoch == 1:
            os.kill(os.getpid(), deadly)

    SpeechClassifier.training_step = noted  # type: ignore[method-assign]
    SpeechClassifier.on_validation_epoch_end = last_words  # type: ignore[method-assign]


def die_at(epoch: int, batch: int) -> None:
    """The process kills itself with that batch of pre-training."""
    from phonaut.training.representation import Representation

    step = Representation.training_step

    def deadly(self: Any, one: Any, batch_idx: int) -> Any:
        if (epoch, batch) == (self.current_epoch, batch_idx):
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, one, batch_idx)

    Representation.training_step = deadly  # type: ignore[method-assign]


def small_pools(n: int) -> None:
    """Frames are made of so many recordings at once."""
    from phonaut.runs import extraction
    from phonaut.tasks import frame_source

    frame_source.POOL = extraction.POOL = n


def die_at_call(number: int, counts: Path) -> None:
    """The process ends, as by `kill -9`, at a call by which files change; without one it counts them.

    Args:
        number: of the call, from 0; -1: never.
        counts: a file that gets a byte for each call.
    """
    file = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    n_calls = 0

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **named: Any) -> Any:
            nonlocal n_calls
            if n_calls == number:
                os._exit(137)
            n_calls += 1
            os.write(file, b".")
            return call(*arguments, **named)

        return called

    for name in ("replace", "rename", "fsync", "mkdir", "unlink", "remove", "rmdir", "chmod"):
        setattr(os, name, deadly(getattr(os, name)))
