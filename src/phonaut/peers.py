"""The processes of one command, on several machines, as torchrun or srun starts them: who is who, and what they say."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, NamedTuple, Self

SILENCE_S = 120.0  # after which a process that said nothing is gone
START_S = 600.0  # in which all have to be there
SHARED_S = 30.0  # until a file of another machine is seen on a disk that both share
BEAT_S = 2.0
ENDING_S = 10.0  # in which a process that has lost the others sees it by itself
FAILED = "failed"
GONE = "another process of this run is gone ({}): the same command on every machine goes on from the last checkpoint"


class Place(NamedTuple):
    """The place of a process among those of its command.

    Attributes:
        rank: its number among all; the first is 0.
        n: processes.
        local_rank: its number among those of its machine.
        n_machines: on which they are.
    """

    rank: int = 0
    n: int = 1
    local_rank: int = 0
    n_machines: int = 1


def place(variables: Mapping[str, str] = os.environ) -> Place:
    """The place of this process, by the variables that torchrun or srun sets; alone where neither started it.

    >>> place({"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a"})
    Place(rank=3, n=4, local_rank=1, n_machines=2)
    >>> place({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"})  # of an allocation, outside srun
    Place(rank=0, n=1, local_rank=0, n_machines=1)
    """
    if variables.keys() >= {"RANK", "WORLD_SIZE", "MASTER_ADDR"}:
        n, local = int(variables["WORLD_SIZE"]), int(variables.get("LOCAL_WORLD_SIZE", "1"))
        return Place(int(variables["RANK"]), n, int(variables.get("LOCAL_RANK", "0")), max(1, n // local))
    if (n := int(variables.get("SLURM_STEP_NUM_TASKS", "1"))) > 1:
        rank, local_rank = int(variables["SLURM_PROCID"]), int(variables["SLURM_LOCALID"])
        return Place(rank, n, local_rank, int(variables["SLURM_STEP_NUM_NODES"]))
    return Place()


def join(here: Place) -> None:
    """Give a process of srun the variables of torchrun: PyTorch and Lightning go by these."""
    if here.n == 1 or "RANK" in os.environ or "SLURM_STEP_NODELIST" not in os.environ:
        return
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    nodes, job = os.environ["SLURM_STEP_NODELIST"], os.environ.get("SLURM_JOB_ID", "0")
    os.environ.setdefault("MASTER_ADDR", SLURMEnvironment.resolve_root_node_address(nodes))
    os.environ.setdefault("MASTER_PORT", str(15000 + int(job[-4:])))
    os.environ |= {"RANK": str(here.rank), "WORLD_SIZE": str(here.n), "LOCAL_RANK": str(here.local_rank),
                   "LOCAL_WORLD_SIZE": str(here.n // here.n_machines),
                   "GROUP_RANK": os.environ["SLURM_NODEID"]}  # fmt: skip


def is_first() -> bool:
    """True for the first process of a command, whoever started the others: torchrun, srun or Lightning."""
    return place().rank == 0 and int(os.environ.get("LOCAL_RANK", "0")) == 0


class Peers:
    """What the processes of a command tell each other before they compute together; a process that is alone has none.

    As a context, it lets only the first process print; an error in one ends all of them with the same sentence, and so
    does a process that says nothing any more.

    Raises:
        OSError: the others do not come.
    """

    def __init__(self, here: Place | None = None) -> None:
        self.here = place() if here is None else here
        self.rank, self.n = self.here.rank, self.here.n
        self.store: Any = None
        self.heard: dict[int, tuple[bytes, float]] = {}  # of others: their last beat, and when it was heard
        self.over, self.computing = threading.Event(), threading.Event()
        self.answered = time.monotonic()  # when the first process last did
        self.reason: Exception | None = None  # why this process has to end
        self.quiet = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self.n == 1:
            return self
        from torch._C._distributed_c10d import PrefixStore
        from torch.distributed.rendezvous import rendezvous

        join(self.here)
        if self.rank:
            self.quiet.enter_context(contextlib.redirect_stdout(self.quiet.enter_context(open(os.devnull, "w"))))
            self.quiet.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        with self.lost():
            store, _, _ = next(
                rendezvous("env://", rank=self.rank, world_size=self.n, timeout=timedelta(seconds=START_S))
            )
        self.store = PrefixStore(f"phonaut/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
        self.answered = time.monotonic()
        store.set_timeout(timedelta(seconds=SILENCE_S))
        for duty in (self.beat, self.watch):
            threading.Thread(target=duty, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.quiet.close()
        if self.store is not None:
            with contextlib.suppress(Exception):  # it is gone together with the first process
                if error is not None:
                    said = f"{int(isinstance(error, ValueError))}{error or kind}".encode()
                    if self.store.compare_set(FAILED, "", said) == said:
                        error.add_note(first_note(self.here))
                self.say("over")
                if self.rank == 0 and not isinstance(error, ConnectionError):
                    self.outlast(START_S if error is None else ENDING_S)
        self.over.set()

    def outlast(self, seconds: float) -> None:
        """Stay until the others are over: what was said goes with the first process."""
        end = time.monotonic() + seconds
        for rank in range(1, self.n):
            while not self.store.check([f"over/{rank}"]) and time.monotonic() < end:
                self.check_beat(rank)
                time.sleep(0.05)

    def beat(self) -> None:
        """Say every other second that this process is there; where all compute together, end it if another is not."""
        for n in range(sys.maxsize):
            try:
                self.store.set(f"beat/{self.rank}", str(n))
                if self.computing.is_set():
                    self.check_failed()
                    for rank in range(self.n):
                        if not self.store.check([f"computed/{rank}"]):
                            self.check_beat(rank)
            except (ValueError, OSError, RuntimeError) as error:
                known = not isinstance(error, RuntimeError)
                self.reason = error if known else ConnectionError(GONE.format("the first one does not answer"))
                if self.over.wait(ENDING_S) or not self.computing.is_set():
                    return  # whoever waits for the others sees it
                end(self.reason)
            self.answered = time.monotonic()
            if self.over.wait(BEAT_S):
                return

    def watch(self) -> None:
        """End the process where the first one's machine does not answer: PyTorch waits for it without end."""
        while not self.over.wait(BEAT_S):
            if time.monotonic() - self.answered > SILENCE_S + ENDING_S:
                end(ConnectionError(GONE.format("the first one does not answer")))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Where all compute together by PyTorch's own means, which wait for half an hour for a machine that is gone."""
        self.computing.set()
        try:
            yield
        finally:
            self.computing.clear()
        with contextlib.suppress(OSError):
            self.say("computed")

    @contextlib.contextmanager
    def lost(self) -> Iterator[None]:
        """Errors of a connection as a sentence."""
        from torch.distributed import DistError

        try:
            yield
        except DistError as error:
            raise ConnectionError(GONE.format("the first one, on " + os.environ["MASTER_ADDR"])) from error

    def say(self, key: str, text: str = "") -> None:
        """Tell the others `text`, under a key."""
        if self.n > 1:
            with self.lost():
                self.store.set(f"{key}/{self.rank}", f"={text}")

    def hear(self, key: str, rank: int = 0) -> str:
        """What the process `rank` says under a key, once it does.

        Raises:
            ValueError: a process refused.
            OSError: one failed, or is gone.
        """
        with self.lost():
            while not self.store.check([f"{key}/{rank}"]):
                self.check(rank)
                time.sleep(0.05)
            text: str = self.store.get(f"{key}/{rank}").decode()
        return text[1:]

    def agree(self, key: str) -> None:
        """Wait until all processes are here."""
        self.say(key)
        for rank in range(self.n if self.n > 1 else 0):
            self.hear(key, rank)

    def check(self, rank: int) -> None:
        """Refuse to wait any longer for a process.

        Raises:
            ValueError: a process refused.
            OSError: one failed, or is gone.
        """
        self.check_failed()
        self.check_beat(rank)

    def check_beat(self, rank: int) -> None:
        """Refuse to wait any longer for a process that is silent.

        Raises:
            OSError: it is gone.
        """
        beat = self.store.get(f"beat/{rank}") if self.store.check([f"beat/{rank}"]) else b""
        known, since = self.heard.get(rank, (None, 0.0))
        if beat != known:
            self.heard[rank] = beat, time.monotonic()
        elif time.monotonic() - since > (SILENCE_S if beat else START_S):
            raise ConnectionError(GONE.format(f"process {rank} of {self.n} is silent"))

    def check_failed(self) -> None:
        """Raise what was raised in the first process that failed, if there is one.

        Raises:
            ValueError: it refused.
            OSError: it failed.
        """
        if self.store.check([FAILED]):
            said = self.store.get(FAILED).decode()
            raise (ValueError if said[0] == "1" else ConnectionError)(said[1:])

    def why_lost(self) -> Exception:
        """Why computing together has ended: what another process said, or that one is gone."""
        for _ in range(20):  # who fails says so a moment later than its connections close
            try:
                self.check_failed()
            except (ValueError, OSError) as error:
                return error
            except RuntimeError:
                break
            time.sleep(0.05)
        return self.reason or ConnectionError(GONE.format("its connection is closed"))


def end(reason: Exception) -> None:
    """End a process whose main thread waits for others within PyTorch."""
    print(f"phonaut: {reason}", file=sys.stderr, flush=True)
    os._exit(1)


ALONE = Peers(Place())


def is_lost_connection(error: RuntimeError) -> bool:
    """True for what PyTorch raises where another process is gone; gloo has no class of its own."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or "gloo" in str(error)


def first_note(here: Place) -> str:
    """The note on an error that this process was the first to have."""
    return f"in process {here.rank} of {here.n}"


def is_said_by_another(error: BaseException) -> bool:
    """True where another process of this machine prints the sentence of an error."""
    here = place()
    return here.local_rank > 0 and here.n > 1 and first_note(here) not in getattr(error, "__notes__", [])


def see(there: Callable[[], bool], what: str) -> None:
    """Wait until a file that another machine wrote is seen here.

    Raises:
        ValueError: it is not.
    """
    end = time.monotonic() + SHARED_S
    while not there():
        if time.monotonic() > end:
            raise ValueError(
                f"{what} is not what the first machine has there: a disk that all machines share is wanted"
            )
        time.sleep(0.1)
