"""Hash of everything that decides frames: settings and parameters of the modules that run, and their source code.

Nothing here names a front end, a normaliser or a file: modules are read as they stand in memory, and source files are
reached from their classes by following imports.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

BOOKKEEPING = frozenset(vars(nn.Module()))  # attributes of every module: hooks, the training flag, its tables of parts
TABLES = ("_parameters", "_buffers", "_modules")
FRAMEWORK = "torch"  # its version stands for its code
Name = tuple[str, str | None]  # module, and what is imported from it


class Description:
    """Describe objects by value, as JSON, and collect the Python modules whose code they run.

    A module of torch is its class, its attributes, parameters, buffers and children; any other object is what `pickle`
    would store of it. Two objects of the same settings have the same description in every process.

    Attributes:
        modules: names of the Python modules in which the classes (with their bases) and functions are defined.
        packages: top-level packages of the modules of torch among them.

    >>> Description().of(torch.nn.Dropout(0.1)) == Description().of(torch.nn.Dropout(0.2))
    False
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.packages: set[str] = set()
        self.inside: list[int] = []

    def of(self, value: Any) -> Any:
        """JSON of `value`.

        Raises:
            TypeError: it holds what cannot be described by value, such as an open file.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, bytes):
            return hashlib.sha256(value).hexdigest()
        if isinstance(value, Tensor):
            raw = value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
            return [str(value.dtype), list(value.shape), self.of(raw.tobytes())]
        if isinstance(value, np.ndarray):
            content = value.tolist() if value.dtype.hasobject else np.ascontiguousarray(value).tobytes()
            return [str(value.dtype), list(value.shape), self.of(content)]
        if isinstance(value, np.generic):
            return [str(value.dtype), repr(value.item())]
        if isinstance(value, Mapping):
            return ["mapping", *([self.of(key), self.of(item)] for key, item in value.items())]
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        if isinstance(value, set | frozenset):
            return ["set", *sorted((self.of(item) for item in value), key=json.dumps)]
        if isinstance(value, type):
            self.modules |= {base.__module__ for base in value.__mro__}
            return f"{value.__module__}.{value.__qualname__}"
        if isinstance(value, FunctionType | BuiltinFunctionType | CodeType):
            return self.function(value)
        if id(value) in self.inside:  # a cycle, such as a bound method of the module that holds it
            return ["outer", len(self.inside) - self.inside.index(id(value))]
        self.inside.append(id(value))
        try:
            return self.instance(value)
        finally:
            self.inside.pop()

    def instance(self, value: Any) -> Any:
        """An object by its class and what it holds."""
        if isinstance(value, MethodType):
            return [self.of(value.__func__), self.of(value.__self__)]
        if isinstance(value, nn.Module):
            self.packages |= {top_of(base.__module__) for base in type(value).__mro__}
            state: Any = value.__getstate__()  # type: ignore[no-untyped-call]  # recurrent layers leave out weak references
            if isinstance(state, dict):
                empty = [name for table in TABLES for name, part in state[table].items() if part is None]
                state = {name: state.get(name) for name in sorted({*state, *empty} - BOOKKEEPING)}
            parts: list[Any] = [value.named_parameters(recurse=False), value.named_buffers(recurse=False)]
            return [self.of(part) for part in (type(value), state, *map(dict, [*parts, value.named_children()]))]
        reduced: Any = value.__reduce_ex__(4)
        parts = [reduced] if isinstance(reduced, str) else [list(p) if isinstance(p, Iterator) else p for p in reduced]
        return [self.of(type(value)), *map(self.of, parts)]

    def function(self, value: Any) -> Any:
        """A function by its code, defaults and what it closes over; built-in ones by their names."""
        if isinstance(value, CodeType):
            return [value.co_code.hex(), self.of(value.co_names), self.of(value.co_consts)]
        if value.__module__:
            self.modules.add(value.__module__)
        name = [value.__module__, value.__qualname__]
        if isinstance(value, BuiltinFunctionType) or is_foreign(value.__module__):
            return name
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return [*name, *map(self.of, (value.__code__, value.__defaults__, value.__kwdefaults__, cells))]


class Source(NamedTuple):
    """A source file: the meaning of its code, and what it imports, here and there."""

    meaning: str
    imports: frozenset[Name]


@cache
def code_version(modules: frozenset[str], packages: frozenset[str]) -> str:
    """A hash of the code of `modules` and of what they import, without comments and docstrings.

    Imports are followed within `packages`, and to modules that are not installed (a script, a folder of one's own). The
    standard library is left out; torch counts by its version.

    Args:
        modules: names of Python modules.
        packages: top-level packages.

    Raises:
        OSError: one of them has no source file, as in a notebook.
    """

    def is_followed(name: str) -> bool:
        return not is_foreign(name) and (top_of(name) in packages or is_local(name))

    waiting = {name for name in modules if not is_foreign(name)}
    reached = set[str]()
    while waiting:
        module = waiting.pop()
        reached.add(module)
        if is_followed(module):
            waiting |= {name for name in imported_modules(module) if is_followed(name)} - reached
    digest = hashlib.sha256(torch.__version__.encode())
    for name in sorted(reached):
        digest.update(f"{name}\n{source(name).meaning}\n".encode())
    return digest.hexdigest()[:16]


def imported_modules(module: str) -> set[str]:
    """The modules that a module imports, and those of their names that are modules too."""
    imports = source(module).imports
    below = {
        f"{package}.{name}" for package, name in imports if name and not is_foreign(package) and is_package(package)
    }
    return {name for name, _ in imports} | {name for name in below if file_of(name)}


def top_of(module: str) -> str:
    """The top-level package of a module."""
    return module.partition(".")[0]


@cache
def is_foreign(module: str) -> bool:
    """True if a module is of torch, of the standard library, or compiled."""
    top, file = top_of(module), getattr(sys.modules.get(module), "__file__", None) or ""
    return top == FRAMEWORK or top in sys.stdlib_module_names - {"__main__"} or file.endswith((".so", ".pyd"))


@cache
def is_local(module: str) -> bool:
    """True if a module lies in no folder of installed packages."""
    file = file_of(module)
    return file is not None and not {"site-packages", "dist-packages"} & set(file.parts)


def is_package(module: str) -> bool:
    """True if a module has modules below it."""
    file = file_of(module)
    return file is not None and file.name == "__init__.py"


@cache
def file_of(module: str) -> Path | None:
    """The source file of a module, loaded or not; None if there is none."""
    try:
        loaded = sys.modules.get(module)
        spec = None if loaded else importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    origin = getattr(loaded, "__file__", None) or (spec.origin if spec else None)
    return Path(origin) if origin and origin.endswith(".py") else None


@cache
def source(module: str) -> Source:
    """Read a module's source file.

    Raises:
        OSError: it has none.
    """
    file = file_of(module)
    if file is None:
        raise OSError(f"{module} has no source file")
    return parsed(file.read_text(encoding="utf-8"), module if is_package(module) else module.rpartition(".")[0])


def parsed(text: str, package: str) -> Source:
    """The imports of a source file; `package` is that which relative imports begin at."""
    tree = ast.parse(text)
    return Source(meaning(tree), frozenset(name for node in statements(tree) for name in names_of(node, package)))


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements but those under `if TYPE_CHECKING`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        yield node
        for field in ("body", "orelse", "finalbody", "handlers", "cases")[is_typing:]:
            waiting.extend(getattr(node, field, ()))


def names_of(node: ast.AST, package: str) -> list[Name]:
    """The names that a statement imports."""
    if isinstance(node, ast.Import):
        return [(alias.name, None) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    return [(module, None if alias.name == "*" else alias.name) for alias in node.names]


def meaning(code: str | ast.Module) -> str:
    """Code without comments, layout and docstrings.

    >>> meaning("def f():\\n    'Return 1.'\\n    return 1  # why") == meaning("def f(): return 1")
    True
    """
    tree = ast.parse(code) if isinstance(code, str) else code
    for node in statements(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [] if len(node.body) > 1 else [ast.Pass()]
    return ast.dump(tree)
