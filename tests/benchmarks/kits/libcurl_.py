"""libcurl's multi interface, through pycurl: the loop below is the least that drives it.

A coroutine of this kit yields a transfer, and goes on when libcurl has finished it; there is no other event loop. All
transfers belong to one multi handle, whose connections they share.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pycurl  # type: ignore[import-untyped, unused-ignore]

from ..servers.site import Site
from .kit import PIECE, Setting, Task, expect

T = TypeVar("T")


class _Wait:
    """What a coroutine yields: a transfer to run, or coroutines that are to end before it goes on."""

    def __init__(self, easy: Any = None, tasks: Sequence[Awaitable[None]] = ()) -> None:
        self.easy = easy
        self.tasks = tasks

    def __await__(self) -> Generator[_Wait, None, None]:
        yield self


class _Loop:
    def __init__(self) -> None:
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._waiting: dict[Any, Generator[_Wait, None, Any]] = {}
        self._parents: dict[Any, list[Any]] = {}
        self.result: Any = None

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        self._main = main.__await__()
        self._step(self._main)
        while self._waiting:
            _, active = self.multi.perform()
            _, done, failed = self.multi.info_read()
            for _, code, text in failed:
                raise OSError(f"libcurl: {code} {text}")
            for easy in done:
                self.multi.remove_handle(easy)
                self._step(self._waiting.pop(easy))
            if not done and active:
                self.multi.select(1.0)
        result: T = self.result
        return result

    def _step(self, task: Generator[_Wait, None, Any]) -> None:
        try:
            wait = next(task)
        except StopIteration as end:
            if task is self._main:
                self.result = end.value
            self._ended(task)
            return
        if wait.easy is not None:
            self._waiting[wait.easy] = task
            self.multi.add_handle(wait.easy)
            return
        children: list[Any] = [child.__await__() for child in wait.tasks]
        for child in children:
            self._parents[child] = [task, children]
        for child in list(children):
            self._step(child)

    def _ended(self, task: Any) -> None:
        parent, siblings = self._parents.pop(task, (None, []))
        if parent is not None:
            siblings.remove(task)
            if not siblings:
                self._step(parent)


class _Client:
    def __init__(self, site: Site, setting: Setting) -> None:
        self._cafile = site.cafile
        self._http1 = setting.http1
        self._idle: list[Any] = []

    def _easy(self) -> Any:
        if self._idle:
            return self._idle.pop()
        easy = pycurl.Curl()
        easy.setopt(pycurl.CAINFO, self._cafile)
        easy.setopt(pycurl.PROXY, "")
        easy.setopt(pycurl.PIPEWAIT, 1)
        easy.setopt(
            pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1 if self._http1 else pycurl.CURL_HTTP_VERSION_2TLS
        )
        return easy

    async def _perform(self, easy: Any, url: str, write: Callable[[bytes], Any]) -> None:
        easy.setopt(pycurl.URL, url)
        easy.setopt(pycurl.WRITEFUNCTION, write)
        await _Wait(easy)
        version = pycurl.CURL_HTTP_VERSION_1_1 if self._http1 else pycurl.CURL_HTTP_VERSION_2_0
        expect((easy.getinfo(pycurl.RESPONSE_CODE), easy.getinfo(pycurl.INFO_HTTP_VERSION)), (200, version))

    async def get(self, url: str) -> bytes:
        easy, body = self._easy(), io.BytesIO()
        await self._perform(easy, url, body.write)
        self._idle.append(easy)
        return body.getvalue()

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[memoryview]]:
        """libcurl hands over pieces in a callback, which notes their sizes and drops them, as the load would."""
        sizes: list[int] = []
        await self._perform(self._easy(), url, lambda piece: sizes.append(len(piece)))

        async def passed() -> AsyncIterator[memoryview]:
            for size in sizes:
                yield memoryview(PIECE)[:size]

        yield passed()

    async def upload(self, url: str, size: int) -> bytes:
        easy, body, left = self._easy(), io.BytesIO(), size

        def read(room: int) -> bytes:
            nonlocal left
            piece = PIECE[: min(room, left)]
            left -= len(piece)
            return piece

        easy.setopt(pycurl.POST, 1)
        easy.setopt(pycurl.POSTFIELDSIZE_LARGE, size)
        easy.setopt(pycurl.HTTPHEADER, ["Expect:"])
        easy.setopt(pycurl.READFUNCTION, read)
        easy.setopt(pycurl.UPLOAD_BUFFERSIZE, len(PIECE))
        await self._perform(easy, url, body.write)
        return body.getvalue()


class Kit:
    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return _Loop().run(main())

    async def gather(self, tasks: Sequence[Task]) -> None:
        await _Wait(tasks=[task() for task in tasks])

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        yield _Client(site, self.setting)
