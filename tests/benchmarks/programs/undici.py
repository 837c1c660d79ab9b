"""undici, Node's HTTP client, from npm."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess

from ...support.servers.program import find
from .program import Ready, Work

_SOURCE = pathlib.Path(__file__).parent / "undici.cjs"


class Undici:
    def find(self, directory: pathlib.Path, npm: pathlib.Path) -> Ready | str:
        node = find("node")
        if node is None:
            return "not installed: node"
        package = npm / "node_modules" / "undici"
        if not package.is_dir():
            self._install(npm)
        if not package.is_dir():
            return f"not installed: npm install --prefix {npm} undici"
        version = json.loads((package / "package.json").read_text())["version"]
        return Ready((node, str(_SOURCE), str(package)), f"undici {version}")

    @staticmethod
    def _install(npm: pathlib.Path) -> None:
        """A missing npm, or network, is reported by the package that is missing then."""
        program = find("npm")
        if program is not None:
            npm.mkdir(parents=True, exist_ok=True)
            command = [program, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(npm), "undici"]
            subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def arguments(self, work: Work) -> list[str]:
        return [json.dumps(dataclasses.asdict(work))]

    def check(self, work: Work, output: str) -> None:
        """The program does."""
