"""The charset of a Content-Type, as the name of a codec that can decode anything.

The value is the server's, so it may be anything. Only names of Python's text encodings are looked up: Python would
try to import a module for any other name, and remember each of them for ever. Left out are those that are not
encodings of text (hex, zlib, rot13), that are not for the content of a document (idna, punycode), that interpret it
(unicode_escape), or that exist on one system only (mbcs).
"""

from __future__ import annotations

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases

# RFC 9110, section 5.6.6: the value is a token or a quoted string. There is one way to match, so the time is linear.
_PARAMETER = re.compile(r';([^=;]*)(?:=[ \t]*("(?:[^"\\]|\\.)*"?|[^;]*))?', re.DOTALL)
_NOT_TEXT = re.compile(
    "base64_codec|bz2_codec|hex_codec|idna|mbcs|oem|punycode|quopri_codec|raw_unicode_escape|rot_13|undefined"
    "|unicode_escape|uu_codec|zlib_codec"
)
_WITHOUT_ALIAS = (
    "cp1006", "cp720", "cp737", "cp856", "cp874", "cp875", "koi8_t", "koi8_u", "mac_arabic", "mac_croatian",
    "mac_farsi", "utf_8_sig",
)  # fmt: skip
_CODECS = {**aliases, **{name: name for name in (*aliases.values(), *_WITHOUT_ALIAS)}}
_NAME = re.compile(r"[A-Za-z0-9 ._:+()-]{1,40}")
UTF_8 = "utf-8"


def charset(content_type: str) -> str:
    """The codec's name; "utf-8" if no charset is given, or one that is not a text encoding of Python."""
    for key, value in _PARAMETER.findall(content_type):
        if key.strip().lower() == "charset":
            # Single quotes are in use as well. A comma ends the first of several Content-Types.
            return _codec(value.partition(",")[0].strip(" \t\"'"))
    return UTF_8


def _codec(name: str) -> str:
    if not _NAME.fullmatch(name):
        return UTF_8
    normal = normalize_encoding(name).lower()
    # "latin.1" for "latin-1": as `encodings` itself does it.
    codec = _CODECS.get(normal) or _CODECS.get(normal.replace(".", "_"))
    if codec is None or _NOT_TEXT.fullmatch(codec):
        return UTF_8
    try:
        return codecs.lookup(codec).name
    except LookupError:  # this Python was built without it
        return UTF_8
