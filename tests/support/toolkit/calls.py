"""A call that runs in the background; the test asks for its result or its error when it needs it.

    call = peer.call(client.get, "/a")
    await peer.rst(await peer.expect_headers(), CANCEL)
    error = await call.error(StreamReset)

The test needs no nursery, so no exception arrives in a group.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeVar

import trio

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)


class Call(Generic[T]):
    def __init__(self, function: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> None:
        self._function = partial(function, *args, **options)
        self._done = trio.Event()
        self._result: T | None = None
        self._error: BaseException | None = None
        self.scope = trio.CancelScope()
        self.cancelled = False

    async def run(self) -> None:
        try:
            with self.scope:
                self._result = await self._function()
        except Exception as error:
            self._error = error
        self.cancelled = self.scope.cancelled_caught
        self._done.set()

    @property
    def done(self) -> bool:
        return self._done.is_set()

    @property
    def failure(self) -> BaseException | None:
        """What it raised, if it has ended so."""
        return self._error

    def cancel(self) -> None:
        self.scope.cancel()

    def __repr__(self) -> str:
        name = getattr(self._function.func, "__qualname__", "?")
        if not self.done:
            return f"<{name} under way>"
        return f"<{name}: {'cancelled' if self.cancelled else self._error or 'done'!r}>"

    async def over(self, *, within: float = 5.0) -> None:
        """Wait until the call has ended, in whatever way."""
        with trio.move_on_after(within) as scope:
            await self._done.wait()
        assert not scope.cancelled_caught, f"{self._function} has not finished after {within} s"

    async def result(self, *, within: float = 5.0) -> T:
        await self.over(within=within)
        if self._error is not None:
            raise self._error
        assert not self.cancelled, f"{self._function} was cancelled"
        return self._result  # type: ignore[return-value]

    async def error(self, kind: type[E], *, within: float = 5.0) -> E:
        """The exception that it raised, which must be of exactly that class."""
        await self.over(within=within)
        if self._error is None:
            raise AssertionError(f"{self._function} returned {self._result!r}; expected {kind.__name__}")
        if type(self._error) is not kind:
            raise AssertionError(f"expected {kind.__name__}, not {self._error!r}") from self._error
        return self._error
