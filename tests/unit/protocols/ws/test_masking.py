"""The mask of a client's frames: an XOR, checked byte by byte."""

from __future__ import annotations

import multiprocessing

import pytest
import websockets.speedups

from trio_h2ws._protocols.ws import masking

KEY = b"\x01\x80\xfe\x5a"


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 125, 16_383, 16_384, 16_385, 32_768, 32_771, 100_000])
@pytest.mark.parametrize("mask", [masking.mask_in_python, masking.mask])
def test_each_byte_is_combined_with_its_byte_of_the_key(mask: masking.Mask, size: int) -> None:
    payload = bytes(n % 251 for n in range(size))
    assert mask(payload, KEY) == bytes(byte ^ KEY[n % 4] for n, byte in enumerate(payload))


def test_the_function_in_c_is_used_where_it_is_installed() -> None:
    assert masking.mask is websockets.speedups.apply_mask


def test_keys_do_not_repeat() -> None:
    keys = [masking.new_key() for _ in range(2000)]
    assert {len(key) for key in keys} == {4}
    assert len(set(keys)) > 1990  # two of them may be equal by chance


def _draw(pipe: multiprocessing.connection.Connection) -> None:
    pipe.send(b"".join(masking.new_key() for _ in range(20)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_keys_of_its_own() -> None:
    masking.new_key()  # so that there are some
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_draw, args=(theirs,))
    child.start()
    drawn = ours.recv()
    child.join()
    for end in (ours, theirs):
        end.close()
    assert drawn != b"".join(masking.new_key() for _ in range(20))
