"""The suite itself: its Python 2.7 environment and its process."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence

from ..support.servers.process import free_port, running

VERSION = "25.10.1"


class NotRun(Exception):
    """Something the suite needs is missing, so nothing was tested."""


def candidates(variable: str, *names: str) -> Iterator[str]:
    """The installed programs: first the one that the environment variable names, then these names on PATH."""
    for name in (os.environ.get(variable), *names):
        if name and (found := shutil.which(name)):
            yield found


def _is_python27(program: str) -> bool:
    """Run it and ask: a name on PATH may be a shim for an interpreter that is not installed."""
    command = [program, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.strip() == "2.7"


def _python27() -> str:
    for found in candidates("PYTHON27", "python2.7", "pypy2.7", "pypy", "python2"):
        if _is_python27(found):
            return found
    raise NotRun("the suite needs Python 2.7, which was not found: put it on PATH, or set PYTHON27 to its path")


def install(directory: pathlib.Path) -> pathlib.Path:
    """The path of the suite's `wstest`, in the environment in `directory`, which is created if it is missing."""
    wstest = directory / "bin" / "wstest"
    done = directory / f"autobahntestsuite-{VERSION}"
    if done.exists() and wstest.exists():
        return wstest
    interpreter = _python27()
    _run("creating the environment", sys.executable, "-m", "virtualenv", "--clear", "-p", interpreter, str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", f"autobahntestsuite=={VERSION}")
    for attempt in range(3):  # one failure of the package index is not ours
        try:
            _run("installing the suite", *pip)
            break
        except NotRun:
            if attempt == 2:
                raise
    done.touch()
    return wstest


def _run(what: str, *command: str) -> None:
    print(f"{what}: {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotRun(f"{what} failed:\n{(done.stdout + done.stderr)[-2000:]}")


@contextlib.contextmanager
def serving(wstest: pathlib.Path, cases: Sequence[str], report: pathlib.Path) -> Iterator[int]:
    """Run the fuzzing server with the matching cases; yield its port. It writes its report to `report`."""
    port = free_port()
    spec = report / "spec.json"
    spec.write_text(json.dumps({"url": f"ws://127.0.0.1:{port}", "outdir": str(report), "cases": list(cases)}))
    with running([str(wstest), "-m", "fuzzingserver", "-u", "0", "-s", str(spec)], port):
        yield port
