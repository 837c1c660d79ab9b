"""`open_server` itself: its authority, its options, and how its block ends."""

from __future__ import annotations

import ssl

import pytest
import trio

from toolkit.inside import routes_of_the_testing_server
from toolkit.plain_client import open_plain_client
from trio_h2ws.testing import open_server


async def test_http1_is_refused_when_alpn_lacks_it() -> None:
    async with open_server() as server:
        context = server.ssl_context
        assert context is not None
        context.set_alpn_protocols(["http/1.1"])
        tls = trio.SSLStream(await server.open_stream(), context, server_hostname="localhost", https_compatible=True)
        await tls.do_handshake()
        assert tls.selected_alpn_protocol() is None
        await tls.send_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert (await tls.receive_some(1000)).startswith(b"HTTP/1.1 505")
        await trio.aclose_forcefully(tls)


async def test_each_server_has_its_own_authority() -> None:
    async with open_server() as server:
        assert server.ca_pem is not None
        context = ssl.create_default_context(cadata=server.ca_pem.decode())
        async with open_plain_client(server, context) as client:
            assert (await client.get("/")).status == 200
        with pytest.raises(trio.BrokenResourceError):
            async with open_plain_client(server, ssl.create_default_context()) as client:
                await client.get("/")


async def test_the_users_exception_comes_out_bare() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_server() as server, open_plain_client(server) as client:
            await client.get("/")
            raise KeyError("mine")
    with trio.move_on_after(0.02) as scope:
        async with open_server(memory=True):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(OSError, match=r"."):
        async with open_server(host="203.0.113.1"):
            pass


@pytest.mark.parametrize("ending", ["normal", "exception", "cancelled"])
async def test_a_cancelled_block_ends_without_a_group(ending: str) -> None:
    with trio.CancelScope() as scope:
        async with open_server() as server, open_plain_client(server) as client:
            await client.get("/")
            scope.cancel()
            if ending == "exception":
                with pytest.raises(KeyError):
                    async with open_server(memory=True):
                        raise KeyError
            if ending == "cancelled":
                await trio.sleep_forever()
    assert scope.cancelled_caught
    assert server.connections == []


async def test_a_keyboard_interrupt_in_the_server_comes_out_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(exchange: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(routes_of_the_testing_server(), "interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        async with open_server() as server, open_plain_client(server) as client:
            client.start("/interrupted")
            await client.flush()
            await trio.sleep_forever()


@pytest.mark.parametrize("wrong", [-1, 100, 199, 600, "reset"])
def test_an_invalid_websocket_over_http2_is_refused(wrong: int | str) -> None:
    with pytest.raises(ValueError, match="websocket_over_http2"):
        open_server(websocket_over_http2=wrong)  # type: ignore[arg-type]
