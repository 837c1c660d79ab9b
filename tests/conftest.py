"""For every test: a deadline, and a check that nothing is left over. Also the fixtures that several folders share.

An async test that hangs is cancelled after `SECONDS`, so the run continues and the report shows where it waited. A
test on a mock clock gets `VIRTUAL_SECONDS`: when nothing can happen any more an autojump clock jumps to this
deadline, and a deadlock fails at once. A test that cancellation cannot stop meets `faulthandler_timeout`
(pyproject.toml).

After each async test garbage is collected: a socket or a task that is left over warns there, and a warning is an
error.
"""

from __future__ import annotations

import gc
import inspect
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_h2ws.testing import Server, open_server

SECONDS = 30.0
VIRTUAL_SECONDS = 1_000_000.0
MOCK_CLOCKS = {"autojump_clock", "mock_clock"}
LAST_FILE = pytest.StashKey[Path]()


def with_deadline(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    @wraps(test)
    async def wrapper(*args: Any, **kwargs: Any) -> None:
        with trio.move_on_after(seconds) as scope:
            try:
                await test(*args, **kwargs)
                return
            except BaseException:
                where = traceback.format_exc()
                raise
        if scope.cancelled_caught:
            pytest.fail(f"not done after {seconds:g} seconds. It waited here:\n{where}", pytrace=False)

    return wrapper


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        seconds = VIRTUAL_SECONDS if MOCK_CLOCKS & set(item.fixturenames) else SECONDS
        hypothesis = getattr(item.obj, "hypothesis", None)
        if hypothesis is not None:
            if inspect.iscoroutinefunction(hypothesis.inner_test):
                hypothesis.inner_test = with_deadline(hypothesis.inner_test, seconds)
        elif inspect.iscoroutinefunction(item.obj):
            item.obj = with_deadline(item.obj, seconds)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    # What is alive between two files stays: modules, reports. The collections after each test need not visit it.
    if item.path != item.session.stash.get(LAST_FILE, None):
        item.session.stash[LAST_FILE] = item.path
        gc.collect()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    if item.get_closest_marker("trio") is not None:
        gc.collect()


@pytest.fixture
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy, except those that the test sets."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A testing server. At the end of the test it must have recorded no bug of the server and no protocol error."""
    async with open_server() as server:
        yield server
    assert server.stats.errors == []
    assert server.stats.protocol_errors == []
