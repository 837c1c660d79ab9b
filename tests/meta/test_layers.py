"""Imports go down one list of folders, and never in a circle. They are read with `ast`, so nothing is imported.

Imports for a type checker count as well: where a module needs a class above it for its types, a Protocol beside it
can say what it needs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "trio_h2ws"

# From the top. A row may import from the rows below it, and a folder from itself. Entries of one row do not import
# each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("__main__.py",),
    ("_cli/",),
    ("httpx.py", "testing/"),
    ("_httpx.py", "_httpx_client.py"),
    ("__init__.py",),
    ("_client/",),
    ("_websockets/",),
    ("_requests/",),
    ("_pool/",),
    ("_connection/",),
    ("_network/", "_protocols/"),
    ("_errors.py", "_events.py"),
    ("_config.py", "_http/", "_util.py", "_version.py"),
)
ROW = {entry: number for number, row in enumerate(LAYERS) for entry in row}
MOST_LEVELS = 11

# They use public names, and nothing else but what is listed here.
ON_PUBLIC_NAMES: dict[str, tuple[str, ...]] = {
    "__main__.py": ("_cli/",),
    "_cli/": ("_cli/", "testing/"),
    "httpx.py": ("_httpx.py", "_httpx_client.py"),
    "_httpx.py": (),
    "_httpx_client.py": (),
    "testing/": ("testing/",),
}

# Where a library that speaks a protocol may be imported. The testing server uses them as well, and shares no code
# with the client.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "h2": ("_protocols/h2/settings.py", "testing/"),
    "hpack": ("_protocols/h2/header_blocks.py", "_protocols/h2/header_compression.py", "_protocols/h2/huffman.py"),
    "wsproto": ("_protocols/ws/", "testing/"),
    # A proxy's CONNECT is one small HTTP/1.1 exchange, before a connection exists.
    "h11": ("_protocols/h1/", "_network/tunnel.py", "testing/"),
    "idna": ("_http/host.py",),
    "python_socks": ("_network/tunnel.py",),
}
# Sans-IO: no event loop, no socket, no clock.
WITHOUT_IO = ("_protocols/", "_http/", "_config.py", "_util.py")
IO = frozenset(("trio", "socket", "ssl", "select", "asyncio", "time"))
# Retry-After may be a date, which needs the time of day.
IO_ALLOWED = {("_http/retry_after.py", "time")}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def entry(file: str) -> str:
    """The folder or single file at the top of the package that `file` belongs to."""
    folder, slash, _ = file.partition("/")
    return folder + slash


def imported_names(file: str, source: str) -> Iterator[str]:
    """Every module that the source of a file imports, with an absolute name. TYPE_CHECKING makes no difference."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                module = node.module or ""
            else:
                package = ["trio_h2ws", *Path(file).parent.parts]
                package = package[: len(package) - node.level + 1]
                module = ".".join([*package, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)  # `from . import frames` names a module


@cache
def imports(file: str) -> tuple[str, ...]:
    return tuple(imported_names(file, (PACKAGE / file).read_text()))


@cache
def ours(module: str) -> str | None:
    """The file of a module of the package; None for a name that is not such a module."""
    parts = module.split(".")
    if parts[0] != "trio_h2ws":
        return None
    path = "/".join(parts[1:])
    candidates = [f"{path}.py", f"{path}/__init__.py"] if path else ["__init__.py"]
    return next((name for name in candidates if (PACKAGE / name).is_file()), None)


def targets(file: str) -> set[str]:
    """The files of the package that a file imports, except its own folder, which `from . import x` names as well."""
    package = f"{Path(file).parent.as_posix()}/__init__.py".removeprefix("./")
    return {target for module in imports(file) if (target := ours(module))} - {file, package}


def circle(graph: dict[str, set[str]]) -> str | None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " -> ".join(error.args[1])
    return None


def top_entries() -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for file in FILES:
        graph.setdefault(entry(file), set()).update(entry(target) for target in targets(file))
    return {name: below - {name} for name, below in graph.items()}


def levels(graph: dict[str, set[str]]) -> int:
    """The longest chain of imports, in entries."""
    height: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        height[name] = 1 + max((height[below] for below in graph.get(name, ())), default=0)
    return max(height.values())


@pytest.mark.parametrize("file", FILES)
def test_every_module_has_a_layer(file: str) -> None:
    assert entry(file) in ROW, f"trio_h2ws/{entry(file)} is new: give it a row in LAYERS at the top of this test"


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    here = entry(file)
    for target in targets(file):
        there = entry(target)
        assert there == here or ROW[there] > ROW[here], f"trio_h2ws/{file} imports {target}, which is not below it"
        if here in ON_PUBLIC_NAMES:
            allowed = (*ON_PUBLIC_NAMES[here], "__init__.py")
            assert there in allowed, f"trio_h2ws/{file} may use public names only, not {target}"


@pytest.mark.parametrize("file", FILES)
def test_libraries_stay_in_their_modules(file: str) -> None:
    for module in imports(file):
        top = module.partition(".")[0]
        if top in LIBRARIES:
            assert file.startswith(LIBRARIES[top]), f"trio_h2ws/{file} imports {top}: only {LIBRARIES[top]} may"
        if top in IO and file.startswith(WITHOUT_IO) and (file, top) not in IO_ALLOWED:
            pytest.fail(f"trio_h2ws/{file} does no IO and knows no clock, so it may not import {top}")
        assert not module.startswith(("trio._", "h2._", "wsproto._")), f"trio_h2ws/{file}: {module} is private"


def test_there_is_no_circle_of_modules() -> None:
    found = circle({file: targets(file) for file in FILES})
    assert found is None, found


def test_there_is_no_circle_of_folders() -> None:
    found = circle(top_entries())
    assert found is None, found


def test_there_are_few_levels() -> None:
    assert levels(top_entries()) <= MOST_LEVELS


def test_type_only_imports_count() -> None:
    """A test of the test: imports for a type checker are seen, and a circle of them is a circle."""
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .connection import Connection\n"
    names = set(imported_names("_connection/stream.py", source))
    assert "trio_h2ws._connection.connection" in names
    graph = {"connection.py": {"stream.py"}, "stream.py": {"connection.py"}}
    assert circle(graph) is not None
    assert levels({"a": {"b"}, "b": {"c"}, "c": set()}) == 3


def test_imports_are_seen() -> None:
    """A test of the test: it must not pass because it read nothing."""
    assert "trio" in imports("_connection/writer.py")
    assert "_protocols/engine.py" in targets("_connection/writer.py")
    assert ours("trio_h2ws._protocols.h2.engine") == "_protocols/h2/engine.py"
    assert ours("trio_h2ws._errors.H2WSError") is None
