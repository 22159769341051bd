"""What all tests share: real speech where it is, a cache of their own, one thread, and a last line that counts."""

from __future__ import annotations

import copy
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch and numba are imported: two test processes share two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")
os.environ.setdefault("HYDRA_FULL_ERROR", "1")

import pytest

from helpers.blank_pictures import draw, leave_blank


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Prepared corpora of tests go to a folder that goes away, shared by the test processes."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    os.environ["PHONAUT_CACHE"] = str(shared / "phonaut-cache")


@pytest.fixture(scope="module", autouse=True)
def no_config_dirs_of_other_modules() -> None:
    """Nor does what a module prepares for its tests see those that were added for another one."""
    from phonaut.config import plugins

    plugins._added.clear()


@pytest.fixture(autouse=True)
def no_config_dirs_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test does not see the configuration folders that another one added."""
    from phonaut.config import plugins

    monkeypatch.setattr(plugins, "_added", [])
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="session", autouse=True)
def composed_once() -> Iterator[None]:
    """Hydra composes the same words once a session: a fifth of a second each time, for files that do not change.

    Not where a test adds a folder of configuration files, which it may change.
    """
    import hydra

    compose, known = hydra.compose, {}

    def composed(config_name: str | None = None, overrides: list[str] | None = None, **named: Any) -> Any:
        words = tuple(overrides or ())
        if any(word.startswith("hydra.searchpath") for word in words):
            return compose(config_name, list(words), **named)
        key = (config_name, words, *sorted(named.items()))
        if key not in known:
            known[key] = compose(config_name, list(words), **named)
        return copy.deepcopy(known[key])

    hydra.compose = composed
    yield
    hydra.compose = compose


@pytest.fixture(scope="session", autouse=True)
def parsed_once() -> Iterator[None]:
    """Hydra parses a text once a session, of the 25 files of a composition: a third of the time that it takes."""
    from omegaconf import OmegaConf

    load, known = OmegaConf.load, {}

    def loaded(file: Any) -> Any:
        if not isinstance(file, io.TextIOBase):  # a path
            return load(file)
        place = file.tell()
        text = file.read()
        if text not in known:
            file.seek(place)
            known[text] = load(file)
        return copy.deepcopy(known[text])

    OmegaConf.load = loaded
    yield
    OmegaConf.load = load


@pytest.fixture(scope="session", autouse=True)
def undrawn() -> Iterator[None]:
    """TensorBoard's pictures are blank but where a test asks for `drawn`; `helpers.processes` does it for its own."""
    leave_blank()
    yield
    draw()


@pytest.fixture
def drawn() -> Iterator[None]:
    """TensorBoard's pictures are drawn."""
    draw()
    yield
    leave_blank()


@pytest.fixture(scope="session")
def real_speech() -> Callable[[str], Path]:
    """The folder of a corpus of real speech; skips where it is not."""

    def find(name: str) -> Path:
        root = os.environ.get("PHONAUT_DATA")
        if not root:
            pytest.skip("real speech: PHONAUT_DATA is not set")
        folder = Path(root) / name
        if not folder.is_dir():
            pytest.skip(f"real speech: {name} is not under PHONAUT_DATA")
        return folder

    return find


def pytest_collection_modifyitems(items: list[pytest.Utterance]) -> None:
    """Skip what needs a GPU where there is none."""
    if not any(item.get_closest_marker("cuda") for item in items):
        return
    import torch

    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="CUDA: there is no GPU"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Iterator[None]:
    """After all else, in the last line: how many tests were skipped, and why."""
    yield
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # a process beside the one that reports
        return
    skipped = reporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    told = "; ".join(f"{n} x {reason}" for reason, n in reasons.most_common())
    reporter.write_line(f"skipped {len(skipped)}" + (f": {told}" if told else ""))
