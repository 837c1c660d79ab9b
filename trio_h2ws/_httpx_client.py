"""A client that does not belong to a block: opened when it is first needed, closed by whatever task calls `aclose`.

httpx opens a transport without `async with`, and pytest fixtures enter and leave one in different tasks. A nursery
allows neither, so `open_client` is entered and left in a system task (`trio.lowlevel.spawn_system_task`), which
belongs to the whole `trio.run`:

- It does not inherit the context variables of the first request, which concern that request alone.
- Trio cancels it when the main task has ended. So a transport that was never closed can't keep `trio.run` from
  ending; it causes a ResourceWarning.
- An exception that left it would end `trio.run` with TrioInternalError. So it raises nothing: what goes wrong is
  kept, and `aclose` raises it. A KeyboardInterrupt that arrived in it is sent to the main task instead.
"""

from __future__ import annotations

import signal
import warnings
from contextlib import AbstractAsyncContextManager

import trio

import trio_h2ws


class _Unclosed:
    """Warns when it is dropped, unless it was closed. The task drops it when it ends: a warning that was turned into
    an exception is then not raised in the task."""

    def __init__(self) -> None:
        self.closed = False

    def __del__(self) -> None:
        if not self.closed:
            message = "an AsyncTransport of trio_h2ws.httpx was never closed: use `async with`, or call `aclose()`"
            warnings.warn(message, ResourceWarning, stacklevel=2)


class BackgroundClient:
    """One client, for one `trio.run`. Made and started by a request; made anew for the next `trio.run`."""

    def __init__(self, opening: AbstractAsyncContextManager[trio_h2ws.Client]) -> None:
        self._opening = opening
        self._token = trio.lowlevel.current_trio_token()
        self._client: trio_h2ws.Client | None = None
        self._failure: BaseException | None = None
        self._opened = trio.Event()
        self._stop = trio.Event()
        self._scope = trio.CancelScope()
        self._over = trio.Event()
        trio.lowlevel.spawn_system_task(self._run)

    @property
    def is_usable(self) -> bool:
        """It is neither closed nor being closed."""
        self._check_run()
        return not (self._stop.is_set() or self._over.is_set())

    def _check_run(self) -> None:
        if not self._over.is_set() and self._token is not trio.lowlevel.current_trio_token():
            raise RuntimeError("this AsyncTransport is in use in another trio.run: make one for each")

    async def client(self) -> trio_h2ws.Client:
        """The open client; several tasks may wait for it."""
        if self._client is None:
            await self._opened.wait()
        if self._client is None:
            raise RuntimeError("the client of the AsyncTransport could not be opened") from self._failure
        return self._client

    async def aclose(self, *, gracefully: bool = True) -> None:
        """Close the client, and wait for its end. If not gracefully, or when cancelled, it does not wait for what is
        queued to be sent. Raises what ended it before, if anything did."""
        self._check_run()
        self._stop.set()
        if not gracefully:
            self._scope.cancel()
        try:
            await self._over.wait()
        except BaseException:
            self._scope.cancel()
            with trio.CancelScope(shield=True):
                await self._over.wait()
            raise
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    async def _run(self) -> None:
        unclosed = _Unclosed()
        try:
            with self._scope:
                async with self._opening as self._client:
                    self._opened.set()
                    await self._stop.wait()
            unclosed.closed = True
        except KeyboardInterrupt:
            unclosed.closed = True
            signal.raise_signal(signal.SIGINT)  # system tasks are protected from it, so the main task gets it
        except Exception as error:
            unclosed.closed = True
            self._failure = error
        finally:
            self._opened.set()
            self._over.set()
            del unclosed
