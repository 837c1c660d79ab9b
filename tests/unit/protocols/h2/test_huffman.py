"""Huffman decoding: the same as hpack's, for any bytes."""

from __future__ import annotations

import pytest
from hpack import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman as by_hpack
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_h2ws._protocols.h2.huffman import decode_huffman

EXAMPLES = settings(max_examples=500, deadline=None)
encoder = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@EXAMPLES
@given(st.binary(max_size=60))
def test_what_was_encoded_is_decoded(data: bytes) -> None:
    assert decode_huffman(encoder.encode(data)) == data


@EXAMPLES
@given(st.binary(max_size=12))
def test_any_bytes_decode_as_with_hpack(data: bytes) -> None:
    try:
        expected = by_hpack(data)
    except HPACKDecodingError as error:
        with pytest.raises(HPACKDecodingError, match=str(error)):
            decode_huffman(data)
    else:
        assert decode_huffman(data) == expected
