"""The Python code of the README and of the docs.

Every ```python block must compile. A comment on the line before the block asks for more:

- `<!-- runs -->`: a whole program. It is run against the testing server in place of example.org.
- `<!-- pytest -->`: a test file. pytest runs it.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from trio_h2ws.testing import Server

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"(?:^<!-- (?P<mark>[a-z]+) -->\n+)?^```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


class Example(NamedTuple):
    place: str
    mark: str | None
    code: str


def examples() -> list[Example]:
    found = []
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        if "_build" in page.parts:
            continue
        text = page.read_text()
        for match in FENCE.finditer(text):
            line = text[: match.start("code")].count("\n") + 1
            place = f"{page.relative_to(ROOT).as_posix()}:{line}"
            found.append(Example(place, match["mark"], match["code"]))
    return found


EXAMPLES = examples()


def marked(mark: str) -> pytest.MarkDecorator:
    chosen = [example for example in EXAMPLES if example.mark == mark]
    return pytest.mark.parametrize("example", chosen, ids=[example.place for example in chosen])


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.place for example in EXAMPLES])
def test_every_example_compiles(example: Example) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    compile(example.code, example.place, "exec", flags=flags, dont_inherit=True)
    assert example.mark in (None, "runs", "pytest")


@pytest.mark.slow
@marked("runs")
async def test_every_program_runs(example: Example, h2ws_server: Server, tmp_path: Path) -> None:
    assert h2ws_server.ca_pem is not None
    (tmp_path / "ca.pem").write_bytes(h2ws_server.ca_pem)
    program = tmp_path / "example.py"
    program.write_text(example.code.replace("example.org", f"localhost:{h2ws_server.port}"))
    result = await trio.run_process(
        [sys.executable, "-W", "error", str(program)],
        env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
        cwd=tmp_path,
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout, "an example prints what it got"
    if "example.org" in example.code:
        assert h2ws_server.stats.tcp_connections == 1
    assert h2ws_server.stats.errors == []


@pytest.mark.slow
@marked("pytest")
def test_every_example_test_passes(example: Example, tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(example.code)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    test_command = next(command for command in commands if "bin/nox" in command)
    assert "\n" + test_command in (ROOT / ".ci" / "run").read_text()
