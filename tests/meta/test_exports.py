"""The public names: they exist, they say what they are, and they belong to `trio_h2ws`."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
from pathlib import Path

import pytest

import trio_h2ws
import trio_h2ws.httpx
import trio_h2ws.testing

MODULES = (trio_h2ws, trio_h2ws.httpx, trio_h2ws.testing)
PUBLIC = [(module, name) for module in MODULES for name in module.__all__ if name != "__version__"]


@pytest.mark.parametrize(("module", "name"), PUBLIC, ids=[f"{module.__name__}.{name}" for module, name in PUBLIC])
def test_every_public_name_is_documented(module: object, name: str) -> None:
    thing = getattr(module, name)
    assert inspect.getdoc(thing), f"{name} has no docstring"
    assert thing.__module__ == module.__name__  # type: ignore[attr-defined]
    if inspect.isclass(thing):
        for attribute, member in vars(thing).items():
            if attribute.startswith("_") or not inspect.isfunction(member):
                continue
            assert member.__doc__ or inspect.getdoc(getattr(thing, attribute)), f"{name}.{attribute} has no docstring"


@pytest.mark.parametrize("module", [trio_h2ws, trio_h2ws.testing], ids=lambda module: module.__name__)
def test_all_is_sorted_and_complete(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert len(set(names)) == len(names)
    public = {
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(thing) and name != "annotations"
    }
    assert public == set(names) - {"__version__"}


def test_every_error_is_in_the_tree() -> None:
    errors = [thing for _, name in PUBLIC if inspect.isclass(thing := getattr(trio_h2ws, name, None))]
    for error in errors:
        if issubclass(error, Exception):
            assert issubclass(error, trio_h2ws.H2WSError)


def test_the_version_is_that_of_the_distribution() -> None:
    assert trio_h2ws.__version__ == importlib.metadata.version("trio_h2ws")


def test_the_package_is_marked_as_typed() -> None:
    assert Path(trio_h2ws.__file__).with_name("py.typed").is_file()


@pytest.mark.skipif("TRIO_H2WS_INSTALLED" not in os.environ, reason="only in `nox -s tests`")
def test_the_installed_package_is_under_test() -> None:
    source = Path(__file__).parents[2]
    assert not Path(trio_h2ws.__file__).is_relative_to(source / "trio_h2ws")
