"""HPACK that remembers blocks, against hpack, which does not, for any sequence of blocks."""

from __future__ import annotations

from typing import Any

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_h2ws._protocols.h2.header_compression import BlockDecoder, BlockEncoder

fields = st.tuples(
    st.sampled_from([b":method", b"x-a", b"x-b", b"cookie"]),
    st.sampled_from([b"", b"1", b"GET", b"x" * 300, b"y" * 2000, b"z" * 5000]),
)


secrets = fields.map(lambda field: (*field, True))


steps = st.lists(st.lists(fields | secrets, max_size=5) | st.sampled_from([0, 60, 500, 4096]), max_size=20)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(steps)
def test_hpack_decodes_what_the_encoder_wrote(script: list[Any]) -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder(max_header_list_size=2**20)
    for step in script:
        if isinstance(step, int):
            encoder.header_table_size = step
            decoder.max_allowed_table_size = step
            continue
        decoded = decoder.decode(encoder.encode_block(step), raw=True)
        assert [(bytes(name), bytes(value)) for name, value in decoded] == [field[:2] for field in step]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(steps, st.lists(st.binary(max_size=4), max_size=5))
def test_the_decoder_agrees_with_hpack(script: list[Any], junk: list[bytes]) -> None:
    encoder = hpack.Encoder()
    mine, theirs = BlockDecoder(2**20), hpack.Decoder(max_header_list_size=2**20)

    def both(block: bytes) -> bool:
        results: list[Any] = []
        for decode in (mine.decode_block, lambda block: theirs.decode(block, raw=True)):
            try:
                results.append([(bytes(name), bytes(value)) for name, value in decode(block)])
            except hpack.HPACKError as error:
                results.append(type(error))
        assert results[0] == results[1]
        return isinstance(results[0], list)

    for step in script:
        if isinstance(step, int):
            encoder.header_table_size = step
        else:
            block = encoder.encode([hpack.HeaderTuple(*field[:2]) for field in step])
            # The same block means something else the second time if it has added entries to the table.
            if not both(block) or not both(block):
                return
    for block in junk:
        if not both(block):
            return
