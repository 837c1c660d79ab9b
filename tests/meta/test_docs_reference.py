"""The reference names everything: each public name, each error, each option of the command line."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_h2ws
import trio_h2ws.testing
from trio_h2ws._cli.main import parser

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
PAGES = "\n".join(page.read_text() for page in sorted(REFERENCE.glob("*.md")))


@pytest.mark.parametrize("module", [trio_h2ws, trio_h2ws.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_documented(module: object) -> None:
    documented = set(re.findall(r"auto(?:function|class|exception):: ([\w.]+)", PAGES))
    prefix = module.__name__  # type: ignore[attr-defined]
    names = {f"{prefix}.{name}" for name in module.__all__ if name != "__version__"}  # type: ignore[attr-defined]
    assert names <= documented


def errors() -> list[str]:
    things = [getattr(trio_h2ws, name) for name in trio_h2ws.__all__]
    return [thing.__name__ for thing in things if inspect.isclass(thing) and issubclass(thing, Exception)]


@pytest.mark.parametrize("name", errors())
def test_every_error_is_in_the_tree_and_the_table(name: str) -> None:
    page = (REFERENCE / "errors.md").read_text()
    assert re.search(rf"^[│├└─ ]*{name}\b", page, re.MULTILINE)
    assert name in ("H2WSError", "ProtocolError") or re.search(rf"^\| `{name}` +\|", page, re.MULTILINE)


def options() -> Iterator[tuple[str, str]]:
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for command, sub in commands.choices.items():
        for action in sub._actions:
            if not isinstance(action, argparse._HelpAction) and action.option_strings:
                yield command, action.option_strings[-1]


@pytest.mark.parametrize(("command", "option"), sorted(options()))
def test_every_option_is_documented(command: str, option: str) -> None:
    page = (REFERENCE / "command-line.md").read_text()
    section = page.partition(f"\n## `{command}`\n")[2].partition("\n## ")[0]
    assert section, f"the command {command} has no section"
    # Options that several commands share are described once, and named in the others.
    assert re.search(rf"^\|[^|]*`{re.escape(option)}\b", section, re.MULTILINE), f"{command} {option}"
