"""Imports only go down. Read with `ast`, so nothing is imported to find it out.

`FLOORS` is the plan of the house, one row a file. A name that ends with a slash is a folder, and what stands in it
may import what stands beside it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "trio_h2ws"

FLOORS: dict[str, int] = {
    # 5: the front door, and adapters that use only public names
    "__init__.py": 5,
    "__main__.py": 5,
    "_cli/": 5,
    "_client.py": 5,
    "_httpx.py": 5,
    "httpx.py": 5,
    "testing/": 5,
    # 4: what a user holds
    "_body.py": 4,
    "_call.py": 4,
    "_exchange.py": 4,
    "_feeds.py": 4,
    "_handshake.py": 4,
    "_link.py": 4,
    "_parts.py": 4,
    "_redirect.py": 4,
    "_response.py": 4,
    "_websocket.py": 4,
    # 3: connections: choose, dial, retire
    "_coalesce.py": 3,
    "_dial.py": 3,
    "_memory.py": 3,
    "_pool.py": 3,
    "_reach.py": 3,
    "_tunnel.py": 3,
    # 2: one connection, and its IO
    "_broken.py": 2,
    "_burst.py": 2,
    "_clock.py": 2,
    "_connection.py": 2,
    "_watch.py": 2,
    "_stream.py": 2,
    "_tls.py": 2,
    "_transport.py": 2,
    "_writer.py": 2,
    # 1: the protocols, without IO and without Trio
    "_content.py": 1,
    "_engine.py": 1,
    "_h1/__init__.py": 1,
    "_h1/engine.py": 1,
    "_h2/__init__.py": 1,
    "_h2/blocks.py": 1,
    "_h2/compression.py": 1,
    "_h2/engine.py": 1,
    "_h2/fields.py": 1,
    "_h2/flow.py": 1,
    "_h2/frames.py": 1,
    "_h2/late.py": 1,
    "_h2/sendqueue.py": 1,
    "_h2/settings.py": 1,
    "_streamstate.py": 1,
    "_ws/__init__.py": 1,
    "_ws/deflate.py": 1,
    "_ws/handshake.py": 1,
    "_ws/outgoing.py": 1,
    "_ws/session.py": 1,
    # 0: the standard library only (and `idna`, which is tables)
    "_allowance.py": 0,
    "_config.py": 0,
    "_errors.py": 0,
    "_headers.py": 0,
    "_host.py": 0,
    "_info.py": 0,
    "_noproxy.py": 0,
    "_proxy.py": 0,
    "_retry_after.py": 0,
    "_url.py": 0,
    "_util.py": 0,
    "_version.py": 0,
}

# They use public names only, and of the rest what stands beside them.
ADAPTERS: dict[str, tuple[str, ...]] = {
    "testing/": ("testing/",),
    "httpx.py": ("_httpx.py",),
    "_httpx.py": (),
}

# Who may import what speaks a protocol. The testing server is on these libraries, too, and shares no code with us.
ROOMS: dict[str, tuple[str, ...]] = {
    "h2": ("_h2/settings.py", "testing/"),
    "hpack": ("_h2/blocks.py", "_h2/compression.py"),
    "wsproto": ("_ws/", "testing/"),
    # A proxy's CONNECT is one small HTTP/1.1 exchange, before there is a connection of ours.
    "h11": ("_h1/engine.py", "_tunnel.py", "testing/"),
    "idna": ("_host.py",),
    "python_socks": ("_tunnel.py",),
}

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def entry(file: str) -> str | None:
    """The row of `FLOORS` for a file: its own, or that of a folder around it."""
    if file in FLOORS:
        return file
    return next((name for name in FLOORS if name.endswith("/") and file.startswith(name)), None)


def imports(file: str) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, with an absolute name, and whether only a type checker sees it."""
    tree = ast.parse((PACKAGE / file).read_text())
    typing_only = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for statement in branch.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in typing_only
        elif isinstance(node, ast.ImportFrom):
            if node.level == 0:
                module = node.module or ""
            else:
                package = ["trio_h2ws", *Path(file).parent.parts]
                package = package[: len(package) - node.level + 1]
                module = ".".join([*package, *([node.module] if node.module else [])])
            yield module, node in typing_only
            for alias in node.names:  # `from . import frames` names a module, too
                yield f"{module}.{alias.name}", node in typing_only


def ours(module: str) -> str | None:
    """The file of a module of ours; None for a name that is no module."""
    parts = module.split(".")
    if parts[0] != "trio_h2ws":
        return None
    path = "/".join(parts[1:])
    candidates = [f"{path}.py", f"{path}/__init__.py"] if path else ["__init__.py"]
    return next((name for name in candidates if (PACKAGE / name).is_file()), None)


@pytest.mark.parametrize("file", FILES)
def test_every_file_has_a_floor(file: str) -> None:
    assert entry(file), f"trio_h2ws/{file} is new: add it to FLOORS at the top of this test"


@pytest.mark.parametrize("file", FILES)
def test_imports_go_down(file: str) -> None:
    here = entry(file)
    assert here is not None
    for module, _ in imports(file):
        target = ours(module)
        if target is None or target == file:
            continue
        there = entry(target)
        assert there is not None, f"trio_h2ws/{target} is new: add it to FLOORS at the top of this test"
        assert FLOORS[there] <= FLOORS[here], f"trio_h2ws/{file} imports {module}, which stands above it"
        if here in ADAPTERS:
            allowed = (*ADAPTERS[here], "__init__.py")
            assert there in allowed, f"trio_h2ws/{file} may use public names only, not {module}"


@pytest.mark.parametrize("file", FILES)
def test_foreign_libraries_stay_in_their_rooms(file: str) -> None:
    here = entry(file)
    assert here is not None
    for module, _ in imports(file):
        top = module.partition(".")[0]
        if top == "trio":
            assert FLOORS[here] >= 2, f"trio_h2ws/{file}: no Trio on the floors 0 and 1"
        if top in ROOMS:
            assert file.startswith(ROOMS[top]), f"trio_h2ws/{file} imports {top}, which only {ROOMS[top]} may"
        assert not module.startswith(("trio._", "h2._", "wsproto._")), f"trio_h2ws/{file}: {module} is private"


def test_there_is_no_circle() -> None:
    graph = {}
    for file in FILES:
        targets = {ours(module) for module, typing_only in imports(file) if not typing_only}
        # `from . import frames` runs the package's own __init__.py, and that is no circle.
        graph[file] = targets - {None, file, f"{Path(file).parent.as_posix()}/__init__.py"}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_this_test_sees_imports() -> None:
    """A test of the test: it must not pass because it read nothing."""
    found = {module for module, _ in imports("_broken.py")}
    assert {"trio", "trio_h2ws._errors"} <= found
    assert ours("trio_h2ws._h2.engine") == "_h2/engine.py"
    assert ours("trio_h2ws._errors.H2WSError") is None
