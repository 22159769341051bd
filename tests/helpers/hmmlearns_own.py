"""The tests that hmmlearn brings of its own models, run with ours in their place."""

import importlib
import inspect
import warnings
from typing import Any

import pytest


def parametrisations(test: Any) -> list[dict[str, Any]]:
    """The arguments that a test is marked with."""
    cases: list[dict[str, Any]] = [{}]
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            name, values = mark.args
            cases = [{**case, name: value} for case in cases for value in values]
    return cases


def tests_of(module: Any) -> list[tuple[Any, str]]:
    """Classes and names of tests of a module; the class is None where the test is a function of its own."""
    found: list[tuple[Any, str]] = []
    for name, thing in vars(module).items():
        if inspect.isfunction(thing) and name.startswith("test_") and thing.__module__ == module.__name__:
            found.append((None, name))
        elif inspect.isclass(thing) and name.startswith("Test"):
            found += [
                (thing, method) for method, _ in inspect.getmembers(thing, inspect.isfunction) if method[:5] == "test_"
            ]
    return found


def cases(name: str, left_out: dict[str, str]) -> list[Any]:
    """A parameter `(class, test, arguments)` for each test of a module but those that `left_out` gives a reason for."""
    module = pytest.importorskip(name)
    return [
        pytest.param(
            cls,
            test,
            arguments,
            id="-".join([f"{cls.__name__ if cls else name}.{test}", *map(str, arguments.values())]),
        )
        for cls, test in tests_of(module)
        if test not in left_out
        for arguments in parametrisations(getattr(cls or module, test))
    ]


def run(module: str, cls: Any, test: str, arguments: dict[str, Any], fixtures: dict[str, Any]) -> None:
    """Run one; what its class prepares before it."""
    if cls is None:
        function = getattr(importlib.import_module(module), test)
    else:
        case = cls()
        if hasattr(cls, "setup_method"):
            case.setup_method(None)
        if hasattr(cls, "setup"):
            prepare = cls.setup
            own = (
                prepare._get_wrapped_function()
                if hasattr(prepare, "_get_wrapped_function")
                else inspect.unwrap(prepare)
            )
            own(case)
        function = getattr(case, test)
    wanted = {name: fixtures[name] for name in fixtures if name in inspect.signature(function).parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(**arguments, **wanted)
