"""A retried upload lost its first part.

The server refuses a stream in the very moment in which it was opened. The call saw that the body had not been touched
and went for another try; then the first try's upload, which had been started and had not run yet, took the first part
of the iterable for a stream that was over. The second try sent the rest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from trio.testing import MockClock

from toolkit import connection_of, frames, scripted_peer

PARTS = [b"first, ", b"second, ", b"third"]


def plain() -> Iterator[bytes]:
    yield from PARTS


async def asynchronous() -> AsyncIterator[bytes]:
    for part in PARTS:
        yield part


@pytest.mark.parametrize("parts", [plain, asynchronous])
async def test_refused_before_the_upload_ran(parts: Any, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        await client.get("/warm")
        connection = connection_of(client)
        opening = connection.open

        def open_and_refuse(*args: Any, **options: Any) -> Any:
            # The reader runs in the same pass of the scheduler, after the call and before the upload.
            connection.open = opening
            stream = opening(*args, **options)
            connection.engine.receive(frames.rst(stream.id, frames.REFUSED_STREAM))
            return stream

        connection.open = open_and_refuse
        response = await client.post("/upload", content=parts())
        assert response.content == b"/upload" + b"".join(PARTS)
