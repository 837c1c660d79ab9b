"""Go's net/http; and gorilla/websocket, where its source is installed. Both are built once, from client.go beside."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess

from ...support.servers.program import find
from .program import Ready, Work

_SOURCE = pathlib.Path(__file__).parent / "go_source"
# Where Debian's packages of Go libraries are.
_LIBRARIES = pathlib.Path("/usr/share/gocode")


class Go:
    def find(self, directory: pathlib.Path, npm: pathlib.Path) -> Ready | str:
        path = find("go")
        if path is None:
            return "not installed"
        gorilla = (_LIBRARIES / "src/github.com/gorilla/websocket").is_dir()
        out = directory / "go-client"
        environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(_LIBRARIES), "GOFLAGS": ""}
        environment["GOCACHE"] = str(directory / "go-cache")
        tags = ["-tags", "gorilla"] if gorilla else []
        files = ["client.go", "websocket.go" if gorilla else "no_websocket.go"]
        built = subprocess.run(
            [path, "build", *tags, "-o", str(out), *files],
            cwd=_SOURCE,
            env=environment,
            capture_output=True,
            text=True,
        )
        if built.returncode:
            return f"not built: {built.stderr.strip()[-200:]}"
        version = subprocess.run([path, "version"], capture_output=True, text=True).stdout.split()
        return Ready((str(out),), "Go " + version[2].removeprefix("go"))

    def arguments(self, work: Work) -> list[str]:
        return [json.dumps(dataclasses.asdict(work))]

    def check(self, work: Work, output: str) -> None:
        """The program does."""
