"""Tests read private attributes in `support/toolkit/inside.py` and nowhere else.

So a change inside the package breaks one function there, and not tests all over the place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
ALLOWED_IN = "support/toolkit/inside.py"

# Parts of Python's own modules without a public name.
ALLOWED = {"os._exit", "argparse._SubParsersAction", "argparse._HelpAction", "parser()._actions", "sub._actions"}


def private_attributes(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each `x._name`, where x is neither self nor cls. `x.__name__` is Python's own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.lineno, ast.unparse(node)


def test_private_attributes_are_read_in_one_place() -> None:
    found = [
        f"tests/{path.relative_to(TESTS).as_posix()}:{line}: {text}"
        for path in sorted(TESTS.rglob("*.py"))
        if path != TESTS / ALLOWED_IN
        for line, text in private_attributes(path.read_text())
        if text not in ALLOWED
    ]
    assert not found, "\n".join([f"write a function in tests/{ALLOWED_IN} for these:", *found])


def test_private_attributes_are_found() -> None:
    """A test of the test."""
    assert list(private_attributes("x = ws._channel.stream")) == [(1, "ws._channel")]
    assert list(private_attributes("call(self._a, cls._b, x.c, x.__dict__)")) == []
    assert list(private_attributes("self.pool._dials = 1")) == [(1, "self.pool._dials")]
    assert any(private_attributes((TESTS / ALLOWED_IN).read_text()))
