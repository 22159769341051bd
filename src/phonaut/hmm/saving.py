"""Settings and parameters of estimators in files: safetensors with JSON in the header, and checkpoints of a fit."""

from __future__ import annotations

import inspect
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from phonaut.hmm.em import Monitor, RollbackState

FREE = ("n_iter", "tol", "verbose", "device", "checkpoint", "random_state")  # what may change when a fit goes on


class Saved:
    """An estimator that has settings, which are the arguments it was made with, and parameters, which are arrays."""

    checkpoint: str | None
    monitor_: Monitor
    rollback: RollbackState

    def parameter_names(self) -> list[str]:
        """Names of all parameters."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Parameters by name, as far as they are set."""
        raise NotImplementedError

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Set parameters."""
        raise NotImplementedError

    def _new_monitor(self) -> Monitor:
        raise NotImplementedError

    def check(self) -> None:
        """Refuse parameters that make no sense."""
        raise NotImplementedError

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The settings, as scikit-learn's tools ask for them."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def set_params(self, **params: Any) -> Self:
        """Change settings.

        Raises:
            ValueError: there is no such setting.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no setting {name}; it has {', '.join(known)}")
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def save(self, path: str | Path) -> None:
        """Write settings and parameters to a safetensors file (settings as JSON in its header), atomically."""
        self._write(Path(path), RollbackState())

    def _write(self, path: Path, rollback: RollbackState, **more: Any) -> None:
        """The same, with the state of EM and whatever else the header should say."""
        from phonaut.files import write_bytes

        settings = {name: as_json(value) for name, value in self.get_params().items()}
        groups = {"": self.state_dict(), "before/": rollback.before, "plain/": rollback.unseeded}
        arrays = {group + name: np.array(value) for group, part in groups.items() for name, value in part.items()}
        monitor = getattr(self, "monitor_", None)
        if monitor is not None:
            more |= {"history": monitor.history, "objective": monitor.objective, "n_seeded": rollback.n_seeded}
        write_bytes(
            path,
            save(
                arrays, metadata={"phonaut": json.dumps({"model": type(self).__name__, "settings": settings, **more})}
            ),
        )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model.

        Raises:
            ValueError: the file holds another kind of model, or none.
        """
        kind = header(Path(path), cls.__name__)
        known = inspect.signature(cls).parameters
        unknown = [name for name in kind["settings"] if name not in known]
        if unknown:
            raise ValueError(f"{path} has settings that {cls.__name__} does not know: {', '.join(unknown)}")
        model = cls(**kind["settings"])
        model._read(Path(path), kind)
        return model

    def _read(self, path: Path, kind: dict[str, Any]) -> None:
        """Take the parameters of a file, and the course of its fit."""
        self.rollback = RollbackState(n_seeded=kind.get("n_seeded", 0))
        parameters: dict[str, Any] = {}
        groups = {"": parameters, "before": self.rollback.before, "plain": self.rollback.unseeded}
        with safe_open(str(path), framework="np") as file:
            for key in file.keys():  # noqa: SIM118  # not a dict
                group, _, name = key.rpartition("/")
                if group not in groups or name not in self.parameter_names():
                    raise ValueError(f"{path} holds {key}, which a {type(self).__name__} does not have")
                groups[group][name] = file.get_tensor(key)
        self.load_state_dict(parameters)
        if "history" in kind:
            self.monitor_ = self._new_monitor()
            self.monitor_.history, self.monitor_.objective = kind["history"], kind["objective"]
        self.check()

    def _resume(self, frames: NDArray[Any]) -> bool:
        """Read the checkpoint, if there is one.

        Raises:
            ValueError: it is of other frames or settings.
        """
        path = Path(self.checkpoint or "")
        if not path.exists():
            return False
        kind = header(path, type(self).__name__)
        if kind.get("frames") != fingerprint(frames):
            raise ValueError(f"{path} is the checkpoint of a fit to other frames: remove it, or give these their own")
        ours = {name: as_json(value) for name, value in self.get_params().items()}
        differ = [name for name, value in kind["settings"].items() if ours.get(name) != value and name not in FREE]
        if differ:
            raise ValueError(f"{path} is the checkpoint of a fit with another {', '.join(differ)}")
        self._read(path, kind)
        return True


def header(path: Path, name: str) -> dict[str, Any]:
    """The header of a model file.

    Raises:
        ValueError: it holds another kind of model, or none.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            kind: dict[str, Any] = json.loads((file.metadata() or {}).get("phonaut", "{}"))
    except SafetensorError as error:
        raise ValueError(f"{path} holds no model of Phonaut: {error}") from error
    if kind.get("model") != name:
        raise ValueError(f"{path} holds {kind.get('model') or 'no model of Phonaut'}, not a {name}")
    return kind


def fingerprint(frames: NDArray[Any]) -> str:
    """Name of the frames that a checkpoint belongs to."""
    return f"{frames.shape} {frames.dtype} {zlib.crc32(frames.tobytes()):08x}"


def as_json(value: Any) -> Any:
    """A setting as JSON keeps it; a generator cannot be kept."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, np.random.Generator | np.random.RandomState) else value
