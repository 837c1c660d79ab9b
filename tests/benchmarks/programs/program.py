"""What a peer that is another program has to offer, and the work that it is given."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Work:
    """A number of units. Plain data: Go and JavaScript get it as JSON."""

    load: str
    """ "requests", "download", "upload" or "opening"."""
    url: str
    cafile: str
    count: int
    """How many units."""
    at_once: int
    http1: bool
    size: int
    """Bytes of one body: of the response, or of what is uploaded."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A program that can be run."""

    command: tuple[str, ...]
    version: str


class Program(Protocol):
    def find(self, directory: pathlib.Path, npm: pathlib.Path) -> Ready | str:
        """Build it into a temporary `directory` if need be. A string says why it can't be had."""
        ...

    def arguments(self, work: Work) -> list[str]: ...

    def check(self, work: Work, output: str) -> None:
        """Raise if not everything was answered. A program that checks itself ends with a status other than 0."""
        ...
