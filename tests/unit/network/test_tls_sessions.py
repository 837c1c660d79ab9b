"""The sessions that are kept: each is given once, and their number is bounded."""

from __future__ import annotations

import gc
import ssl
import weakref

import pytest
import trustme

from trio_h2ws._network.tls_sessions import TLSSessions, key_of


def connection_of(context: ssl.SSLContext, server_context: ssl.SSLContext) -> ssl.SSLObject:
    """After a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    client = context.wrap_bio(to_client, to_server, server_hostname="a.test")
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    server.write(b"x")
    client.read(1)
    return client


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    client, server = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(client)
    authority.issue_cert("a.test").configure_cert(server)
    return client, server


def test_each_session_is_given_once(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    sessions = TLSSessions()
    key = key_of(contexts[0], "a.test", ["h2"], "")
    assert key is not None
    first, second = connection_of(*contexts), connection_of(*contexts)
    sessions.offer(key, first)
    sessions.offer(key, second)
    assert sessions.take(key) == second.session
    assert sessions.take(key) == first.session
    assert sessions.take(key) is None
    assert sessions.take(None) is None


def test_the_session_of_a_connection_that_has_ended_is_kept(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    sessions = TLSSessions()
    key = key_of(contexts[0], "a.test", ["h2"], "")
    assert key is not None
    connection, other = connection_of(*contexts), connection_of(*contexts)
    sessions.offer(key, connection)
    sessions.on_end(key, other)
    sessions.on_end(key, connection)
    session, reference = connection.session, weakref.ref(connection)
    del connection
    gc.collect()
    assert reference() is None
    assert sessions.take(key) == session
    assert sessions.take(key) is None


def test_nothing_is_kept_when_the_client_ends(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    sessions = TLSSessions()
    key = key_of(contexts[0], "a.test", ["h2"], "")
    assert key is not None
    connection = connection_of(*contexts)
    sessions.offer(key, connection)
    sessions.close()
    sessions.on_end(key, connection)
    sessions.offer(key, connection)
    assert sessions.take(key) is None


def test_the_key_has_all_that_the_handshake_checked(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    keys = {
        key_of(context, "a.test", ["h2"], ""),
        key_of(context, "b.test", ["h2"], ""),
        key_of(context, "a.test", ["http/1.1"], ""),
        key_of(context, "a.test", ["h2"], "proxy"),
        key_of(contexts[0], "a.test", ["h2"], ""),
    }
    context.check_hostname = False
    keys.add(key_of(context, "a.test", ["h2"], ""))
    context.verify_mode = ssl.CERT_NONE
    keys.add(key_of(context, "a.test", ["h2"], ""))
    assert len(keys) == 7


def test_their_number_is_bounded(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    sessions = TLSSessions()
    connection = connection_of(*contexts)
    for n in range(1000):
        key = key_of(contexts[0], f"{n}.test", [], "")
        assert key is not None
        for _ in range(20):
            sessions.offer(key, connection)
    taken = 0
    for n in range(1000):
        while sessions.take(key_of(contexts[0], f"{n}.test", [], "")) is not None:
            taken += 1
    assert taken <= 256 * 8


def test_sessions_of_other_kinds_of_contexts_are_not_kept() -> None:
    class Other(ssl.SSLContext):
        pass

    assert key_of(Other(ssl.PROTOCOL_TLS_CLIENT), "a.test", [], "") is None
