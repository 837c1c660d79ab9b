"""Programs of the operating system."""

from __future__ import annotations

import os
import shutil


def find(name: str) -> str | None:
    """Its path. Servers are often where a user's PATH does not look."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"]))


def need(name: str, package: str) -> str:
    """Its path; without it, the test is skipped and says why."""
    import pytest  # the table of the servers uses this module, too, and runs without it

    path = find(name)
    if path is None:
        pytest.skip(f"{name} is not installed (apt install {package})")
    return path
