"""The suite itself: its Python 2.7 environment, and its process."""

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
    """Something that the suite needs is not here. Nothing was tested."""


def candidates(variable: str, *names: str) -> Iterator[str]:
    """The programs that are here: what the environment variable says, then what PATH has under these names."""
    for name in (os.environ.get(variable), *names):
        if name and (found := shutil.which(name)):
            yield found


def _is_python27(program: str) -> bool:
    """A name on PATH may be a shim of an interpreter that is not installed, so ask it."""
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
    raise NotRun("the suite runs on Python 2.7 only: put python2.7 or pypy on PATH, or its path into PYTHON27")


def install(directory: pathlib.Path) -> pathlib.Path:
    """The suite's `wstest`, in an environment that is made in `directory` if it is not there yet."""
    wstest = directory / "bin" / "wstest"
    done = directory / f"autobahntestsuite-{VERSION}"
    if done.exists() and wstest.exists():
        return wstest
    interpreter = _python27()
    _run("making an environment", sys.executable, "-m", "virtualenv", "--clear", "-p", interpreter, str(directory))
    pip = (str(directory / "bin" / "python"), "-m", "pip", "install", f"autobahntestsuite=={VERSION}")
    for attempt in range(3):  # an index that fails once is no failure of ours
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
    """The fuzzing server, with the cases that match; gives its port. Its report will be in `report`."""
    port = free_port()
    spec = report / "spec.json"
    spec.write_text(json.dumps({"url": f"ws://127.0.0.1:{port}", "outdir": str(report), "cases": list(cases)}))
    with running([str(wstest), "-m", "fuzzingserver", "-u", "0", "-s", str(spec)], port):
        yield port
