"""Bytes as peers send them, good and bad, and ways of cutting them."""

from __future__ import annotations

import zlib

from hypothesis import strategies as st

from toolkit import frames


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places, which are taken modulo its length."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


places = st.lists(st.integers(0, 2**20), max_size=12)


# HTTP/2.


any_frame = st.builds(
    frames.raw, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)
)


small = st.integers(0, 12)


names = st.sampled_from(["x-a", "x-b", "content-length", ":status", "X-Upper", "connection", "content-type"])


field_lists = st.lists(st.tuples(names, st.sampled_from(["1", "5", "200", "103", "", "a\nb"])), max_size=4)


statuses = st.sampled_from([[(":status", "200")], [(":status", "103")], [], [(":status", "204")]])


blocks = st.builds(lambda status, fields: frames.literals([*status, *fields]), statuses, field_lists) | st.binary(
    max_size=6
)


engine_frames = st.one_of(
    st.builds(frames.data, st.integers(1, 12), st.binary(max_size=30), end=st.booleans()),
    st.builds(frames.data, st.sampled_from([1, 3, 5]), st.binary(max_size=9), end=st.booleans(), pad=small),
    st.builds(frames.headers, st.sampled_from([1, 3, 5, 7]), blocks, end=st.booleans(), end_headers=st.booleans()),
    st.builds(frames.continuation, st.sampled_from([1, 3]), blocks, end_headers=st.booleans()),
    st.builds(frames.rst, st.integers(1, 12), small),
    st.builds(frames.window_update, small, st.sampled_from([0, 1, 1000, 2**31 - 1])),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), ack=st.booleans()),
    st.builds(frames.goaway, small, small),
    st.builds(frames.settings, st.dictionaries(st.integers(1, 9), st.integers(0, 70_000), max_size=3)),
    st.builds(frames.settings, ack=st.booleans()),
    st.builds(frames.raw, st.integers(0, 20), st.integers(0, 63), small, st.binary(max_size=12)),
)


# Most bytes of the first kind end the connection soon; these are what real servers send.
live = st.sampled_from([1, 3, 5])


tame_frames = st.one_of(
    st.builds(
        lambda stream, end: frames.headers(stream, frames.literals([(":status", "200")]), end=end),
        live,
        st.booleans(),
    ),
    st.builds(lambda stream: frames.headers(stream, frames.literals([(":status", "103")])), live),
    st.builds(lambda stream: frames.headers(stream, frames.literals([("x-t", "1")]), end=True), live),
    st.builds(
        lambda stream: (
            frames.headers(stream, b"", end_headers=False)
            + frames.continuation(
                stream, frames.literals([(":status", "200"), ("content-length", "5")]), end_headers=True
            )
        ),
        live,
    ),
    st.builds(frames.data, live, st.binary(max_size=300), end=st.booleans()),
    st.builds(frames.data, live, st.binary(max_size=9), pad=small),
    st.builds(frames.rst, live, small),
    st.builds(frames.window_update, st.sampled_from([0, 1, 3, 5]), st.integers(1, 1000)),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), ack=st.booleans()),
    st.builds(frames.goaway, st.sampled_from([1, 3, 5]), small),
    st.builds(frames.settings, st.dictionaries(st.sampled_from([1, 3, 4, 6]), st.integers(0, 70_000), max_size=3)),
    st.builds(frames.raw, st.integers(10, 20), st.integers(0, 63), small, st.binary(max_size=12)),
)


# WebSockets.


opcodes = st.sampled_from([0, 1, 2, 8, 9, 10])


good_frames = st.one_of(
    st.builds(frames.ws, st.sampled_from([1, 2]), st.text(max_size=200)),
    st.builds(frames.ws, st.sampled_from([1, 2]), st.binary(max_size=200), fin=st.booleans()),
    st.builds(frames.ws, st.just(0), st.text(max_size=40), fin=st.booleans()),
    st.builds(frames.ws, st.sampled_from([9, 10]), st.binary(max_size=20)),
    st.builds(frames.ws_close, st.sampled_from([None, 1000, 1001, 1005, 1014, 4000]), st.text(max_size=20)),
)


bad_frames = st.one_of(
    st.builds(
        frames.ws,
        st.integers(0, 15),
        st.binary(max_size=130),
        fin=st.booleans(),
        rsv=st.integers(0, 7),
        mask=st.none() | st.just(b"abcd"),
    ),
    st.builds(frames.ws, opcodes, st.binary(max_size=100), width=st.sampled_from([16, 64])),
    st.binary(max_size=8),
)


deflated = st.builds(
    lambda data, level: frames.ws(2, (zlib.compressobj(level, wbits=-15).compress(data) or b"") + b"\x02\x00", rsv=4),
    st.binary(max_size=300),
    st.integers(0, 9),
)
