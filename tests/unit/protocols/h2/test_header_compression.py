"""HPACK that remembers blocks gives the same as plain HPACK. hpack is the judge."""

from __future__ import annotations

import hpack
import pytest

from trio_h2ws._protocols.h2.header_compression import BlockDecoder, BlockEncoder


def decode(decoder: hpack.Decoder, block: bytes) -> list[tuple[bytes, bytes]]:
    return [(bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True)]


def test_repeated_fields_give_the_same_short_block() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    fields = [(b":method", b"GET"), (b"x-a", b"1"), (b"authorization", b"secret", True)]
    sizes = []
    for _ in range(5):
        block = encoder.encode_block(fields)
        sizes.append(len(block))
        assert decode(decoder, block) == [field[:2] for field in fields]
    assert sizes[1] < sizes[0]
    assert sizes[1:] == [sizes[1]] * 4


def test_a_secret_is_never_indexed() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    for _ in range(3):
        (field,) = decoder.decode(encoder.encode_block([(b"authorization", b"secret", True)]), raw=True)
        assert isinstance(field, hpack.NeverIndexedHeaderTuple)
    assert len(encoder.header_table.dynamic_entries) == 0


def test_an_evicted_entry_is_not_referred_to() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    for n in range(300):
        fields = [(b"x-first", b"always the same"), (b"x-n", b"%d" % (n % 70) * 40)]
        assert decode(decoder, encoder.encode_block(fields)) == fields


@pytest.mark.parametrize("size", [0, 50, 4096, 100_000, 2**32 - 1])
def test_the_encoder_follows_the_table_size(size: int) -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    fields = [(b"x-first", b"always the same"), (b"x-second", b"also")]
    for n in range(6):
        if n == 3:
            encoder.header_table_size = size
            decoder.max_allowed_table_size = size
        assert decode(decoder, encoder.encode_block(fields)) == fields
    assert encoder.header_table.maxsize <= 4096


def test_a_known_block_is_decoded_anew_after_a_table_change() -> None:
    encoder, decoder = hpack.Encoder(), BlockDecoder(65_536)
    newest = b"\xbe"  # the newest entry of the dynamic table
    for n in range(5):
        field = (b"x-n", b"%d" % n)
        assert decoder.decode_block(encoder.encode([field])) == [field]
        assert decoder.decode_block(newest) == [field]
        assert decoder.decode_block(newest) == [field]


def test_a_size_update_empties_the_table() -> None:
    decoder = BlockDecoder(65_536)
    decoder.decode_block(hpack.Encoder().encode([(b"x", b"1")]))
    assert decoder.decode_block(b"\xbe") == [(b"x", b"1")]
    decoder.decode_block(b"\x20\x88")
    with pytest.raises(hpack.HPACKError):
        decoder.decode_block(b"\xbe")


def test_a_field_larger_than_the_table_empties_it() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    known = BlockDecoder(65_536)
    for fields in (
        [(b"a", b"1")],
        [(b"large", b"x" * 5000)],
        [(b"a", b"1")],
        [(b"large", b"x" * 5000)],
        [(b"a", b"1")],
    ):
        block = encoder.encode_block(fields)
        assert decode(decoder, block) == fields
        assert list(known.decode_block(block)) == fields


def test_a_list_over_the_bound_is_refused_each_time() -> None:
    decoder = BlockDecoder(100)
    block = hpack.Encoder().encode([(b"x", b"y" * 100)])
    for _ in range(2):
        with pytest.raises(hpack.OversizedHeaderListError):
            decoder.decode_block(block)


def test_a_value_that_keeps_changing_displaces_nothing() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    constant = (b"x-constant", b"value")
    sizes = []
    for n in range(200):
        fields = [(b":method", b"GET"), constant, (b"x-id", b"%032d" % n)]
        block = encoder.encode_block([*fields])
        assert [tuple(field) for field in decoder.decode(block, raw=True)] == fields
        sizes.append(len(block))
    # The constant field is one byte, whatever the other one does.
    assert sizes[-1] == 1 + 1 + 1 + 1 + 1 + 32
    assert len(encoder.header_table.dynamic_entries) <= 3


def test_a_value_that_changes_once_is_indexed() -> None:
    encoder = BlockEncoder()
    encoder.encode_block([(b"x-a", b"1")])
    encoder.encode_block([(b"x-a", b"2")])
    assert len(encoder.encode_block([(b"x-a", b"2")])) == 1


def test_a_value_that_returns_uses_its_entry() -> None:
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    for value in (b"1", b"2", b"3", b"1", b"2", b"3"):
        decoded = decoder.decode(encoder.encode_block([(b"x-a", value)]), raw=True)
        assert [tuple(field) for field in decoded] == [(b"x-a", value)]
