"""The mask of what a client sends: an XOR with a key of four bytes, new for each frame (RFC 6455, section 5.3).

Python's fastest XOR is that of integers. Large payloads take it in slices that stay in the processor's cache. Where
`websockets` is installed (the extra `speedups`), its function in C does the same in a fortieth of the time.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import cast

_SLICE = 16 * 1024
_KEYS = 512  # that are drawn at once: drawing one takes half a microsecond

Mask = Callable[[bytes, bytes], bytes]
_keys: list[bytes] = []


def new_key() -> bytes:
    """Fresh, and unpredictable for whoever chooses the payload."""
    if not _keys:
        drawn = os.urandom(4 * _KEYS)
        _keys.extend(drawn[at : at + 4] for at in range(0, len(drawn), 4))
    return _keys.pop()


# A forked process must not use the keys of its parent.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keys.clear)


def mask_in_python(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size <= _SLICE:
        stretched = (key * (size // 4 + 1))[:size]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")
    number, stretched_key = int.from_bytes, int.from_bytes(key * (_SLICE // 4), "little")
    whole = size - size % _SLICE
    pieces = [
        (number(payload[at : at + _SLICE], "little") ^ stretched_key).to_bytes(_SLICE, "little")
        for at in range(0, whole, _SLICE)
    ]
    return b"".join((*pieces, mask_in_python(payload[whole:], key)))


def _in_c() -> Mask | None:
    try:
        return cast("Mask", importlib.import_module("websockets.speedups").apply_mask)
    except ImportError:  # not installed, or a build without its extension
        return None


mask: Mask = _in_c() or mask_in_python
"""The payload as a client must send it. Masking twice gives the payload again."""
