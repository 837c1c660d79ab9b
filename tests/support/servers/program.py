"""Finding programs of the operating system."""

from __future__ import annotations

import os
import shutil


def find(name: str) -> str | None:
    """The path of a program. Servers are often in directories that are not on a user's PATH."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def need(name: str, package: str) -> str:
    """The path of a program; if it is not installed, the test is skipped."""
    import pytest  # not at the top: tests/interop uses this module without pytest

    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt install {package})")
    return path
