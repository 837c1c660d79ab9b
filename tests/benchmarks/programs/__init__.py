"""Peers that are not Python: each is a process whose CPU time the system reports. See `program.Program`."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from .go import Go
from .h2load import H2load
from .program import Program, Ready
from .undici import Undici

PROGRAMS: Mapping[str, Program] = {"go": Go(), "h2load": H2load(), "undici": Undici()}


@dataclass
class Programs:
    """Those that were found; for the others, why not."""

    found: dict[str, Ready | str] = field(default_factory=dict)

    def versions(self) -> list[str]:
        return [found.version for found in self.found.values() if isinstance(found, Ready)]


@contextlib.contextmanager
def ready(names: Collection[str], npm: pathlib.Path) -> Iterator[Programs]:
    """Find or build these. What was built is deleted at the end of the block."""
    with tempfile.TemporaryDirectory() as directory:
        found = {name: PROGRAMS[name].find(pathlib.Path(directory), npm.absolute()) for name in sorted(names)}
        yield Programs(found)
