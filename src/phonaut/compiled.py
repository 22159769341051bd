"""Numba's compiler, with a cache that lies where it may and is passed by where it is damaged or the disk is full."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from phonaut.files import cache_dir


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit(cache=True)`, which is an error where no folder may be written; then each process compiles anew.

    Args:
        **options: of `numba.njit`.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = numba.njit(**options)(function)
        if not hasattr(dispatcher, "enable_caching"):  # NUMBA_DISABLE_JIT=1
            return dispatcher
        dispatcher.compile = keeping_threads(dispatcher.compile)
        choose_folder(Path(function.__code__.co_filename).parent / "__pycache__")
        try:
            dispatcher.enable_caching()
        except RuntimeError:
            return dispatcher
        cache = dispatcher._cache
        for name in ("load_overload", "save_overload"):
            setattr(cache, name, forgiving(getattr(cache, name)))
        return dispatcher

    return compiled


def keeping_threads(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that leaves PyTorch its number of threads: Numba starts its own in the same OpenMP, and sets both."""

    def called(*arguments: Any) -> Any:
        torch = sys.modules.get("torch")
        n_threads = torch.get_num_threads() if torch is not None else None
        result = method(*arguments)
        if torch is not None:
            torch.set_num_threads(n_threads)
        return result

    return called


def choose_folder(beside: Path) -> None:
    """Where the folder beside the code may not be written, the cache lies in ours: Numba would ask for a home."""
    there = beside if beside.exists() else beside.parent
    config: Any = numba.config
    if config.CACHE_DIR or os.access(there, os.W_OK):
        return
    with contextlib.suppress(OSError):
        config.CACHE_DIR = str(cache_dir() / "numba")


def forgiving(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method of the cache that does nothing where it fails."""

    def called(*arguments: Any) -> Any:
        try:
            return method(*arguments)
        except Exception:  # a full disk, a file that was cut off
            return None

    return called
