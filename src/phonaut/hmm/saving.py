"""What all estimators share: settings, as scikit-learn's tools ask for them, and files of settings and parameters.

Files are safetensors with JSON in the header, and so are checkpoints of a fit. scikit-learn's conventions are met
without its `BaseEstimator`, which would take half a second of every import of `phonaut.hmm`.
"""

from __future__ import annotations

import inspect
import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from phonaut.hmm.em import Monitor, RollbackState
from phonaut.names import excerpt

FREE = ("n_iter", "tol", "verbose", "device", "checkpoint", "random_state")  # what may change when a fit goes on


class Saved:
    """An estimator that has settings, which are the arguments it was made with, and parameters, which are arrays."""

    checkpoint: str | None
    _monitor: Monitor

    @property
    def rollback(self) -> RollbackState:
        """What EM goes back to."""
        state: RollbackState = vars(self).setdefault("_rollback", RollbackState())
        return state

    @rollback.setter
    def rollback(self, state: RollbackState) -> None:
        self._rollback = state

    def __sklearn_is_fitted__(self) -> bool:
        """Tell whether all parameters are there."""
        return not {name for name in self.parameter_names() if name[0] != "_"} - self.state_dict().keys()

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn's tools want to know of an estimator: densities, fitted to dense frames without labels."""
        from sklearn.utils import Tags, TargetTags

        return Tags(estimator_type="density_estimator", target_tags=TargetTags(required=False))

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

    def _check_settings(self) -> None:
        """Refuse settings that make no sense."""
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
        for name in params:
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no setting {name}; it has {', '.join(known)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Its first setting and those that are not at their defaults; what EM came to."""
        given = self.get_params()
        usual = {name: one.default for name, one in inspect.signature(type(self)).parameters.items()}
        first = next(iter(given))
        shown = [f"{k}={v!r}" for k, v in given.items() if k == first or repr(v) != repr(self._usual(k, usual[k]))]
        return f"{type(self).__name__}({', '.join(shown)}){self._course()}"

    def _usual(self, setting: str, default: Any) -> Any:
        """The value of a setting where none was given."""
        return default

    def _course(self) -> str:
        """What EM came to, for people; empty before it."""
        monitor: Any = vars(self).get("_monitor")
        history = list(getattr(monitor, "history", []))
        if not history:
            return ""
        stopped = monitor.converged and len(history) < getattr(
            self, "n_iter", math.inf
        )  # hmmlearn's is true at the end
        how = "converged" if stopped else "not converged"
        return f": log-likelihood {history[-1]:.6g} after {len(history)} EM steps, {how}"

    def save(self, path: str | Path) -> None:
        """Write settings and parameters to a safetensors file (settings as JSON in its header), atomically."""
        self._write(Path(path), RollbackState())

    def _write(self, path: Path, rollback: RollbackState, **more: Any) -> None:
        """The same, with the state of EM and whatever else the header should say."""
        from phonaut.files import write_bytes

        settings = {name: as_json(value) for name, value in self.get_params().items()}
        groups = {"": self.state_dict(), "before/": rollback.before, "plain/": rollback.unseeded}
        arrays = {group + name: np.array(value) for group, part in groups.items() for name, value in part.items()}
        monitor: Monitor | None = vars(self).get("_monitor")
        if monitor is not None:
            more |= {"history": monitor.history, "objective": monitor.objective, "n_seeded": rollback.n_seeded}
        kind = {"model": type(self).__name__, "settings": settings, "checksum": checksum(arrays), **more}
        write_bytes(path, save(arrays, metadata={"phonaut": json.dumps(kind)}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model.

        Raises:
            ValueError: the file holds another kind of model, or none, or is damaged.
        """
        kind, arrays = contents(Path(path), cls.__name__)
        known = inspect.signature(cls).parameters
        unknown = [name for name in kind["settings"] if name not in known]
        if unknown:
            raise ValueError(
                f"{path} has settings that {cls.__name__} does not know: {', '.join(map(excerpt, unknown[:5]))}"
            )
        model = cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in kind["settings"].items()})
        model._take(Path(path), kind, arrays)
        return model

    def _take(self, path: Path, kind: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Take the parameters of a file, and the course of its fit.

        Raises:
            ValueError: they are not those of such a model.
        """
        self.rollback = RollbackState(n_seeded=kind.get("n_seeded", 0))
        groups: dict[str, dict[str, Any]] = {"": {}, "before": self.rollback.before, "plain": self.rollback.unseeded}
        for key, value in arrays.items():
            group, _, name = key.rpartition("/")
            if group not in groups or name not in self.parameter_names():
                raise ValueError(f"{path} holds {excerpt(key)}, which a {type(self).__name__} does not have")
            groups[group][name] = value
        try:
            self._check_settings()
            # Last those that count, so that each of the others is seen to be parameters of such a model as well.
            for state in (groups["before"], groups["plain"], groups[""]):
                if state or state is groups[""]:
                    self.load_state_dict(state)
                    self.check()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} is damaged: {' '.join(str(error).split())}") from error
        if "history" in kind:
            self._monitor = self._new_monitor()
            self._monitor.history, self._monitor.objective = kind["history"], kind["objective"]

    def _resume(self, frames: NDArray[Any]) -> bool:
        """Read the checkpoint, if there is one.

        Raises:
            ValueError: it is of other frames or settings, or damaged.
        """
        path = Path(self.checkpoint or "")
        if not path.exists():
            return False
        kind, arrays = contents(path, type(self).__name__)
        if kind.get("frames") != fingerprint(frames):
            raise ValueError(f"{path} is the checkpoint of a fit to other frames: remove it, or give these their own")
        ours = {name: as_json(value) for name, value in self.get_params().items()}
        differ = [name for name, value in kind["settings"].items() if ours.get(name) != value and name not in FREE]
        if differ:
            raise ValueError(f"{path} is the checkpoint of a fit with another {', '.join(differ)}")
        self._take(path, kind, arrays)
        return True


def contents(path: Path, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays of a model file.

    Raises:
        ValueError: it holds another kind of model, or none, or is damaged.
    """
    try:
        with safe_open(str(path), framework="np") as file:
            kind: dict[str, Any] = json.loads((file.metadata() or {}).get("phonaut", "{}"))
            arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
    except (SafetensorError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path} holds no model of Phonaut: {excerpt(str(error), 200)}") from error
    found = kind.get("model") if isinstance(kind, dict) else None
    if found != name:
        holds = excerpt(found) if isinstance(found, str) and found.isidentifier() else "no model of Phonaut"
        raise ValueError(f"{path} holds {holds}, not a {name}")
    courses = [kind.get("history", []), kind.get("objective", [])]
    right = isinstance(kind.get("settings"), dict) and isinstance(kind.get("n_seeded", 0), int)
    numbers = all(isinstance(one, list) and all(isinstance(value, float) for value in one) for one in courses)
    if not (right and numbers and len(courses[0]) == len(courses[1])):
        raise ValueError(f"{path} is damaged: its header is not that of a {name}")
    written = kind.get("checksum")
    if written is not None and written != checksum(arrays):
        raise ValueError(f"{path} is damaged: its arrays are not those that were written")
    return kind, arrays


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """A number that changes with every bit of the arrays and their names."""
    total = 0
    for name in sorted(arrays):
        total = zlib.crc32(np.ascontiguousarray(arrays[name]).tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"


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
