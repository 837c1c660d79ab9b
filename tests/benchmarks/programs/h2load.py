"""h2load, nghttp2's load generator in C: requests on one connection, whose bodies it drops."""

from __future__ import annotations

import pathlib
import re
import subprocess

from ...support.servers.program import find
from .program import Ready, Work


class H2load:
    def find(self, directory: pathlib.Path, npm: pathlib.Path) -> Ready | str:
        path = find("h2load")
        if path is None:
            return "not installed"
        version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        return Ready((path,), "h2load " + version.strip().rpartition("/")[2])

    def arguments(self, work: Work) -> list[str]:
        return ["-t1", "-c1", f"-n{work.count}", f"-m{work.at_once}", work.url]

    def check(self, work: Work, output: str) -> None:
        answered = re.search(r"status codes: (\d+) 2xx", output)
        size = re.search(r"\((\d+)\) data", output)
        got = (answered and int(answered[1]), size and int(size[1]))
        wanted = (work.count, work.count * work.size)
        if got != wanted:
            raise ValueError(f"h2load: (responses, bytes) are {got} instead of {wanted}")
