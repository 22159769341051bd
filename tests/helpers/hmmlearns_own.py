"""The tests that hmmlearn brings of its own models, run with ours in their place."""

import importlib
import inspect
import warnings
from typing import Any

import pytest


def parametrisations(method: Any) -> list[dict[str, Any]]:
    """The arguments that a test is marked with; of `implementation` the first: both are the same to us."""
    cases: list[dict[str, Any]] = [{}]
    for mark in getattr(method, "pytestmark", []):
        if mark.name == "parametrize":
            name, values = mark.args
            cases = [
                {**case, name: value}
                for case in cases
                for value in (values[:1] if name == "implementation" else values)
            ]
    return cases


def cases(module: str, prefix: str, left_out: dict[str, str]) -> list[Any]:
    """A parameter `(class, method, arguments)` for each test of the classes of a module."""
    theirs = pytest.importorskip(module)
    found = []
    for name, cls in inspect.getmembers(theirs, inspect.isclass):
        for method, function in inspect.getmembers(cls, inspect.isfunction):
            if name.startswith(prefix) and not name.endswith("Mixin") and method.startswith("test_"):
                reason = left_out.get(method)
                marks = [pytest.mark.skip(reason=f"hmmlearn's own: {reason}")] if reason else []
                for arguments in parametrisations(function):
                    which = "".join(f"-{value}" for key, value in arguments.items() if key != "implementation")
                    found.append(pytest.param(cls, method, arguments, id=f"{name}.{method}{which}", marks=marks))
    return found


def run(cls: Any, method: str, arguments: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Run one; its class's fixture `setup` before it."""
    case = cls()
    if hasattr(cls, "setup"):
        prepare = cls.setup
        own = prepare._get_wrapped_function() if hasattr(prepare, "_get_wrapped_function") else inspect.unwrap(prepare)
        own(case)
    if "caplog" in inspect.signature(getattr(case, method)).parameters:
        arguments = {**arguments, "caplog": caplog}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(case, method)(**arguments)


def put_in_place(monkeypatch: pytest.MonkeyPatch, module: str, model: Any) -> None:
    """Let a test module find our class under the name of hmmlearn's."""
    theirs = importlib.import_module(module)
    where = theirs if hasattr(theirs, model.__name__) else theirs.hmm
    monkeypatch.setattr(where, model.__name__, model)
