"""Files as the content of a request, and lists: read in large parts, with a length, and sent again if need be.

Real files and real worker threads, so without a mock clock.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import mmap
import os
import socket
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_h2ws
from toolkit import Peer, Request, assert_clean, frames, scripted_peer

KIB64 = 64 * 1024
# Short lines, which must not matter.
LINES = b"line\n" * 100_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "lines"
    path.write_bytes(LINES)
    return path


async def sent(peer: Peer, client: trio_h2ws.Client, **options: Any) -> Request:
    call = peer.call(client.post, "/", **options)
    request = await peer.expect_headers()
    await peer.expect_end(request)
    await peer.respond(request)
    await call.result()
    return request


def rolled(content: bytes, max_size: int) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size)  # noqa: SIM115
    file.write(content)
    file.seek(0)
    return file


def named(content: bytes) -> Any:
    file = tempfile.NamedTemporaryFile()  # noqa: SIM115
    file.write(content)
    file.seek(0)
    return file


class Shouting(io.BytesIO):
    """A subclass that reads something else than what it holds."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(size).upper()


def zipped(path: Path) -> Any:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "member")
    return zipfile.ZipFile(path.with_suffix(".zip")).open("member")


def tarred(path: Path) -> Any:
    with tarfile.open(path.with_suffix(".tar"), "w") as archive:
        archive.add(path, "member")
    return tarfile.open(path.with_suffix(".tar")).extractfile("member")


def compressed(kind: Any, path: Path) -> Any:
    with kind.open(path.with_suffix(".packed"), "wb") as file:
        file.write(LINES)
    return kind.open(path.with_suffix(".packed"))


def mapped(path: Path) -> Any:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


SIZED: dict[str, Callable[[Path], Any]] = {
    "a file": lambda path: path.open("rb"),
    "an unbuffered file": lambda path: path.open("rb", buffering=0),
    "a file to read and write": lambda path: path.open("r+b"),
    "a temporary file": lambda path: named(LINES),
    "a file in memory": lambda path: rolled(LINES, 10_000_000),
    "a file no longer in memory": lambda path: rolled(LINES, 10),
    "BytesIO": lambda path: io.BytesIO(LINES),
    "a buffer over BytesIO": lambda path: io.BufferedReader(io.BytesIO(LINES)),  # type: ignore[type-var]
    "a member of a tar archive": tarred,
    "a memory map": mapped,
    "an async file over BytesIO": lambda path: trio.wrap_file(io.BytesIO(LINES)),
    "a list": lambda path: LINES.splitlines(keepends=True),
    "a tuple": lambda path: (LINES[:7], bytearray(LINES[7:10]), memoryview(LINES)[10:], ""),
}
UNSIZED: dict[str, Callable[[Path], Any]] = {
    "gzip": lambda path: compressed(gzip, path),
    "bz2": lambda path: compressed(bz2, path),
    "a member of a zip archive": zipped,
}


def close(content: Any) -> None:
    """Everything that the library must have left open, with the archives around it."""
    assert not getattr(content, "closed", False)
    for owner in (getattr(content, "wrapped", content), getattr(content, "_fileobj", None)):
        if hasattr(owner, "close"):
            owner.close()


@pytest.mark.parametrize("make", [*SIZED.values(), *UNSIZED.values()], ids=[*SIZED, *UNSIZED])
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the archives around their members
async def test_every_kind_of_file_is_sent_whole(make: Callable[[Path], Any], path: Path) -> None:
    content = make(path)
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent(peer, client, content=content)
        assert request.body == LINES
        expected = str(len(LINES)) if make in SIZED.values() else None
        assert request.get("content-length") == expected
        await peer.settle()
        assert_clean(client, peer)
    close(content)


async def test_an_async_file_is_sent_whole(path: Path) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, await trio.open_file(path, "rb") as file:
        request = await sent(peer, client, content=file)
        assert (request.body, request["content-length"]) == (LINES, str(len(LINES)))
        assert await file.tell() == len(LINES)


async def test_an_overridden_read_is_called() -> None:
    """Of a subclass of BytesIO, for example one that shows the progress."""
    async with scripted_peer() as peer, peer.open_client() as client:
        assert (await sent(peer, client, content=Shouting(b"shout"))).body == b"SHOUT"


@pytest.mark.parametrize("position", [0, 3, len(LINES), len(LINES) + 10])
@pytest.mark.parametrize("kind", ["a file", "BytesIO", "an async file over BytesIO"])
async def test_a_file_is_sent_from_its_position(kind: str, position: int, path: Path) -> None:
    content = SIZED[kind](path)
    getattr(content, "wrapped", content).seek(position)
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent(peer, client, content=content)
        assert request.body == LINES[position:]
        assert request["content-length"] == str(len(LINES[position:]))
    close(content)


class Recorded(io.BytesIO):
    """It records the size and the thread of each read, and fails if two are made at once.

    With `gate`, each read waits in its thread until the gate is open."""

    def __init__(self, content: bytes, gate: threading.Event | None = None) -> None:
        super().__init__(content)
        self.reads: list[int] = []
        self.threads: set[int] = set()
        self.begun = threading.Event()
        self.gate = gate
        self.busy = threading.Lock()

    def read(self, size: int | None = -1) -> bytes:
        assert size is not None
        assert self.busy.acquire(blocking=False), "two reads at once"
        try:
            self.reads.append(size)
            self.threads.add(threading.get_ident())
            self.begun.set()
            if self.gate is not None:
                assert self.gate.wait(10)
            return super().read(size)
        finally:
            self.busy.release()


async def test_a_file_is_read_in_large_parts_in_a_thread() -> None:
    """And not by lines, each of which cost a frame: 20 MB of short lines took 20 seconds."""
    file = Recorded(LINES)
    async with scripted_peer() as peer, peer.open_client() as client:
        await sent(peer, client, content=file)
    assert len(file.reads) <= len(LINES) / KIB64 + 2
    assert min(file.reads[:-1]) >= KIB64
    assert threading.get_ident() not in file.threads


async def test_an_async_file_is_read_in_large_parts() -> None:
    class AsyncFile:
        def __init__(self) -> None:
            self.inner = Recorded(LINES)

        async def read(self, size: int) -> bytes:
            await trio.lowlevel.checkpoint()
            return self.inner.read(size)

    file = AsyncFile()
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent(peer, client, content=file)
        assert (request.body, request.get("content-length")) == (LINES, None)
    assert min(file.inner.reads) >= KIB64
    assert file.inner.threads == {threading.get_ident()}


async def test_an_awaitable_read_is_awaited() -> None:
    class Reader:
        def __init__(self) -> None:
            self.left = [b"last", b"first "]

        def read(self, size: int, /) -> Any:
            async def answer() -> bytes:
                await trio.lowlevel.checkpoint()
                return self.left.pop() if self.left else b""

            return answer()

    async with scripted_peer() as peer, peer.open_client() as client:
        assert (await sent(peer, client, content=Reader())).body == b"first last"


async def test_an_iterable_with_another_read_is_iterated() -> None:
    """A response, for example, whose `read()` takes no size: so a response can be passed on as it comes."""
    async with scripted_peer() as peer, peer.open_client() as client:

        async def pass_on() -> trio_h2ws.Response:
            async with client.stream("GET", "/from") as response:
                return await client.post("/to", content=response)

        call = peer.call(pass_on)
        first = await peer.expect_headers()
        await peer.respond(first, body=b"passed ", end=False)
        second = await peer.expect_headers()
        await peer.expect_data(second, 7)
        await peer.data(first, b"on", end=True)
        await peer.expect_end(second)
        await peer.respond(second)
        await call.result()
        assert second.body == b"passed on"


# Pipes and sockets.


@contextlib.contextmanager
def pipe() -> Iterator[tuple[Any, Callable[[bytes], None]]]:
    """The file to read from, and the way to write into it; b"" closes it."""
    reading, writing = os.pipe()
    with open(reading, "rb") as file, open(writing, "wb", buffering=0) as other:
        yield file, lambda data: None if data and other.write(data) else other.close()


async def test_a_pipe_is_sent_as_it_comes() -> None:
    """Its length is not known, and the server may wait for what is there."""
    with pipe() as (file, write):
        async with scripted_peer() as peer, peer.open_client() as client:
            write(b"first")
            call = peer.call(client.post, "/", content=file)
            request = await peer.expect_headers()
            await peer.expect_data(request, 5)
            write(b" second")
            await peer.expect_data(request, 12)
            write(b"")
            await peer.expect_end(request)
            await peer.respond(request)
            await call.result()
            assert (request.body, request.get("content-length")) == (b"first second", None)


async def test_a_pipe_cannot_be_sent_again() -> None:
    """A redirect that keeps the body is the response itself, as for every iterable."""
    with pipe() as (file, write):
        write(b"once")
        write(b"")
        async with scripted_peer() as peer, peer.open_client() as client:
            call = peer.call(client.post, "/", content=file)
            request = await peer.expect_headers()
            await peer.expect_end(request)
            await peer.respond(request, 307, {"location": "/again"})
            assert (await call.result()).status == 307


async def test_a_socket_file_is_sent() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("rb") as file:
        ours.sendall(b"through a socket")
        ours.shutdown(socket.SHUT_WR)
        async with scripted_peer() as peer, peer.open_client() as client:
            assert (await sent(peer, client, content=file)).body == b"through a socket"


# Again: after a redirect, and after a refusal.

AGAIN = {**{name: make for name, make in SIZED.items() if name != "a list"}, **UNSIZED}


@pytest.mark.parametrize("make", AGAIN.values(), ids=AGAIN)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("why", ["redirect", "refusal"])
@pytest.mark.slow
async def test_it_is_sent_again_from_where_it_began(why: str, make: Callable[[Path], Any], path: Path) -> None:
    content = make(path)
    expected = LINES
    if not isinstance(content, tuple):
        getattr(content, "wrapped", content).seek(3)
        expected = LINES[3:]
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.put, "/", content=content)
        first = await peer.expect_headers()
        if why == "redirect":
            await peer.expect_end(first)
            await peer.respond(first, 308, {"location": "/again"})
        else:
            await peer.expect_data(first, 1000)
            await peer.rst(first, frames.REFUSED_STREAM)
        second = await peer.expect_headers()
        await peer.expect_end(second)
        await peer.respond(second)
        assert (await call.result()).status == 200
        assert second.body == expected
        assert second.get("content-length") == first.get("content-length")
    close(content)


async def test_a_redirect_to_a_get_drops_the_file(path: Path) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with path.open("rb") as file:
            call = peer.call(client.post, "/", content=file)
            first = await peer.expect_headers()
            await peer.expect_end(first)
            await peer.respond(first, 303, {"location": "/b"})
            second = await peer.expect_headers()
            assert (second[":method"], second.get("content-length"), second.ended) == ("GET", None, True)
            await peer.respond(second)
            await call.result()


# A read that is in progress.


async def begun(file: Recorded) -> None:
    await trio.to_thread.run_sync(file.begun.wait, 10)


async def test_a_cancelled_call_waits_for_the_read_in_progress() -> None:
    """A read in a thread can't be interrupted. When the call has returned, the file belongs to the user again."""
    gate = threading.Event()
    file = Recorded(LINES, gate)
    async with scripted_peer() as peer, peer.open_client() as client:
        returned = trio.Event()

        async def post() -> None:
            try:
                await client.post("/", content=file)
            finally:
                assert gate.is_set()
                assert file.busy.acquire(blocking=False), "a read is in progress"
                returned.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(post)
            await begun(file)
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                request = await peer.expect_headers()
                await peer.expect_rst(request, frames.CANCEL)  # the stream does not wait
                assert not returned.is_set()
                gate.set()
                await returned.wait()
        await peer.settle()
        assert len(file.reads) == 1
        assert_clean(client, peer)


@pytest.mark.parametrize("how", ["request", "stream"])
async def test_an_early_response_waits_for_the_read_in_progress(how: str) -> None:
    gate = threading.Event()
    file = Recorded(LINES, gate)
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> Any:
            async with client.stream("POST", "/", content=file) as response:
                await response.read()
            return response

        call = peer.call(client.post, "/", content=file) if how == "request" else peer.call(stream)
        request = await peer.expect_headers()
        await begun(file)
        await peer.respond(request, 413, body=b"too large")
        await peer.expect_rst(request)
        await peer.settle()
        assert not call.done
        gate.set()
        response = await call.result()
        assert (response.status, response.content) == (413, b"too large")
        assert file.busy.acquire(blocking=False)
        await peer.settle()
        assert len(file.reads) == 1


@pytest.mark.parametrize("why", ["redirect", "refusal"])
async def test_the_next_attempt_waits_for_the_read_in_progress(why: str) -> None:
    """Two reads at once would mix the two uploads."""
    gate = threading.Event()
    file = Recorded(LINES, gate)
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=file)
        first = await peer.expect_headers()
        await begun(file)
        if why == "redirect":
            await peer.respond(first, 307, {"location": "/again"})
        else:
            await peer.rst(first, frames.REFUSED_STREAM)
        second = await peer.expect_headers()
        await peer.settle()
        assert len(file.reads) == 1
        gate.set()
        await peer.expect_end(second)
        await peer.respond(second)
        await call.result()
        assert second.body == LINES


# Files that change, and files that can't be read.


async def test_what_is_appended_meanwhile_is_not_sent(path: Path) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with path.open("rb") as file, path.open("ab") as appending:
            peer.auto_credit = False
            call = peer.call(client.post, "/", content=file)
            request = await peer.expect_headers()
            await peer.expect_data(request)
            appending.write(b"more")
            appending.flush()
            peer.auto_credit = True
            await peer.window_update(0, 10_000_000)
            await peer.window_update(request, 10_000_000)
            await peer.expect_end(request)
            await peer.respond(request)
            await call.result()
            assert request.body == LINES


async def test_a_file_that_shrinks_is_an_error(path: Path) -> None:
    """The length has been sent: a shorter body would be malformed, and the call must not succeed."""
    async with scripted_peer() as peer, peer.open_client() as client:
        with path.open("rb", buffering=0) as file:
            peer.auto_credit = False
            call = peer.call(client.post, "/", content=file)
            request = await peer.expect_headers()
            await peer.expect_data(request)
            os.truncate(path, 200_000)
            await peer.window_update(0, 10_000_000)
            await peer.window_update(request, 10_000_000)
            error = await call.error(trio_h2ws.LocalProtocolError)
            assert "shorter than its content-length" in str(error)
            await peer.expect_rst(request)
        peer.auto_credit = True
        await sent(peer, client, content=b"next")


TEXT: dict[str, Callable[[Path], Any]] = {
    "a file": lambda path: path.open(),
    "StringIO": lambda path: io.StringIO("text"),
    "a temporary file": lambda path: tempfile.NamedTemporaryFile("w+"),  # noqa: SIM115
    "an async file": lambda path: trio.wrap_file(path.open()),
}


@pytest.mark.parametrize("make", TEXT.values(), ids=TEXT)
async def test_a_file_in_text_mode_is_refused(make: Callable[[Path], Any], path: Path) -> None:
    """Its text would be encoded as UTF-8, whatever the file is, and it would be read by lines."""
    content = make(path)
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises(TypeError, match=r"text mode: open it in binary mode, as in open\(path, \"rb\"\)"):
            await client.post("/", content=content)
        assert peer.dials == 0
    close(content)


class Reads:
    def __init__(self, result: Any) -> None:
        self.result = result

    def read(self, size: int, /) -> Any:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.mark.parametrize(
    ("result", "kind", "words"),
    [
        ("text", TypeError, "text mode"),
        (None, BlockingIOError, "non-blocking"),
        (7, TypeError, "must return bytes, not int"),
        (OSError(5, "Input/output error"), OSError, "Input/output"),
    ],
)
async def test_a_failed_read_fails_the_request(result: Any, kind: type[Exception], words: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=Reads(result))
        request = await peer.expect_headers()
        error = await call.error(kind)
        assert words in str(error)
        await peer.expect_rst(request, frames.CANCEL)
        await peer.settle()
        assert_clean(client, peer)


async def test_a_closed_file_dials_nothing(path: Path) -> None:
    closed = path.open("rb")
    closed.close()
    memory = io.BytesIO(b"x")
    memory.close()
    async with scripted_peer() as peer, peer.open_client() as client:
        for content in (closed, memory):
            with pytest.raises(ValueError, match="closed file"):
                await client.post("/", content=content)
        assert peer.dials == 0


async def test_a_non_blocking_pipe_without_data_is_an_error() -> None:
    with pipe() as (file, _):
        os.set_blocking(file.fileno(), False)
        async with scripted_peer() as peer, peer.open_client() as client:
            call = peer.call(client.post, "/", content=file)
            await peer.expect_headers()
            assert "async iterable" in str(await call.error(BlockingIOError))


# Lengths.


@pytest.mark.parametrize("kind", ["a file", "BytesIO", "a list", "a tuple", "an async file over BytesIO"])
async def test_a_declared_length_must_be_right(kind: str, path: Path) -> None:
    content = SIZED[kind](path)
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises(ValueError, match=f"content-length is 3, but the content has {len(LINES)} bytes"):
            await client.post("/", content=content, headers={"content-length": "3"})
        assert peer.dials == 0
        request = await sent(peer, client, content=content, headers={"content-length": str(len(LINES))})
        assert request.body == LINES
        assert [value for name, value in request.fields if name == b"content-length"] == [b"%d" % len(LINES)]
    close(content)


async def test_a_pipe_is_read_up_to_its_declared_length() -> None:
    with pipe() as (file, write):
        write(b"five!")
        async with scripted_peer() as peer, peer.open_client() as client:
            request = await sent(peer, client, content=file, headers={"content-length": "5"})
            assert (request.body, request["content-length"]) == (b"five!", "5")


@pytest.mark.parametrize(
    "parts", [[], [b""], [b"one"], ["text", bytearray(b"!")], [b"x" * 100_000] * 5, [b"y"] * 300_000]
)
async def test_a_list_has_the_length_of_its_parts(parts: list[Any]) -> None:
    whole = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    async with scripted_peer() as peer, peer.open_client() as client:
        for content in (parts, tuple(parts)):
            request = await sent(peer, client, content=content)
            assert (request.body, request["content-length"]) == (whole, str(len(whole)))


async def test_a_list_may_change_after_the_call_has_begun() -> None:
    parts = [b"x" * 100_000] * 3
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=parts)
        request = await peer.expect_headers()
        parts.clear()
        await peer.window_update(0, 10_000_000)
        await peer.window_update(request, 10_000_000)
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()
        assert len(request.body) == 300_000


async def test_small_files_and_empty_ones_are_sent(tmp_path: Path) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for content in (b"", b"x", b"x" * KIB64, b"x" * KIB64 * 2):
            path = tmp_path / "file"
            path.write_bytes(content)
            with path.open("rb") as file:
                for method in (client.post, client.put):
                    file.seek(0)
                    call = peer.call(method, "/", content=file)
                    request = await peer.expect_headers()
                    await peer.expect_end(request)
                    await peer.respond(request)
                    await call.result()
                    assert (request.body, request["content-length"]) == (content, str(len(content)))


async def parts_of(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize("kind", ["a file", "a list", "BytesIO"])
async def test_trailers_follow_a_file(kind: str, path: Path) -> None:
    content = SIZED[kind](path)
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent(peer, client, content=content, trailers={"x-sum": "1"})
        assert (request.body, request.trailers) == (LINES, [(b"x-sum", b"1")])
    close(content)
