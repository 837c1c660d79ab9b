"""The charset of a Content-Type, which may be anything that a server writes."""

from __future__ import annotations

import codecs
import encodings
import pkgutil
import time
from encodings.aliases import aliases

import pytest

from toolkit.inside import codecs_that_python_remembers
from trio_h2ws._http.charset import charset

EVERY_BYTE = bytes(range(256)) * 3


@pytest.mark.parametrize(
    ("content_type", "codec"),
    [
        ("text/plain; charset=utf-8", "utf-8"),
        ("text/plain;charset=UTF8", "utf-8"),
        ("text/plain; CharSet=latin-1", "iso8859-1"),
        ("text/plain; charset = ISO-8859-15 ; x=y", "iso8859-15"),
        ('text/plain; charset="windows-1252"', "cp1252"),
        ("text/plain; charset='windows-1252'", "cp1252"),
        ('text/plain; title="; charset=koi8-r"; charset=shift_jis', "shift_jis"),
        ('text/plain; title="\\"; charset=koi8-r"; charset=gb2312', "gb2312"),
        ("text/plain; charset=cp1252; charset=utf-16", "cp1252"),
        ("text/plain; charset=cp1252, text/html; charset=utf-16", "cp1252"),
        ("text/plain; charset=utf-8-sig", "utf-8-sig"),
        ("text/plain; charset=KOI8-U", "koi8-u"),
        ("text/plain; charset=macintosh", "mac-roman"),
        (";charset=ascii", "ascii"),
        ('text/plain; charset="utf-16', "utf-16"),
        ("text/plain; charset=ISO_8859-1:1987", "iso8859-1"),
    ],
)
def test_a_charset_names_a_codec(content_type: str, codec: str) -> None:
    assert charset(content_type) == codec


@pytest.mark.parametrize(
    "value",
    [
        "",
        '""',
        '"',
        "'",
        "hex",
        "zlib",
        "bz2",
        "base64",
        "rot13",
        "uu",
        "quopri",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "undefined",
        "mbcs",
        "oem",
        "charmap",
        "aliases",
        "x-unknown",
        "utf\0-16",
        "\0",
        "utf-16\N{NO-BREAK SPACE}\ud800",
        "\N{EURO SIGN}",
        "../utf_16",
        "encodings.utf_16",
        "a" * 100_000,
        "utf-16" + "-" * 100,
        ".",
        "...",
        "=utf-16",
        "%00",
    ],
)
def test_anything_else_is_utf_8(value: str) -> None:
    assert charset(f"text/plain; charset={value}") == "utf-8"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        ";",
        "=",
        "text/plain",
        "text/plain; charset",
        "text/plain; charset*=utf-16''x",
        "charset=utf-16",
        "; =x;;= ",
    ],
)
def test_no_charset_is_utf_8(content_type: str) -> None:
    assert charset(content_type) == "utf-8"


@pytest.mark.parametrize(
    "name",
    sorted({*aliases, *aliases.values(), *(module.name for module in pkgutil.iter_modules(encodings.__path__))}),
)
def test_every_charset_decodes_anything(name: str) -> None:
    """Every codec that Python ships: whatever `charset` names can decode any bytes, and says itself what it is."""
    found = charset(f"text/plain; charset={name}")
    for data in (EVERY_BYTE, b"", b"+", b"\xff", b"\\x", b"\x1b$B\xff", b"xn--a-\xff", b"xn--\x80"):
        assert isinstance(data.decode(found, "replace"), str)
    if found != "utf-8":
        assert codecs.lookup(name).name == found


def test_names_that_servers_invent_are_not_kept() -> None:
    """Python remembers for ever each name that it was asked for."""
    for number in range(100):
        charset(f"text/plain; charset=invented{number}")
    assert not [name for name in codecs_that_python_remembers() if "invented" in name]


@pytest.mark.parametrize(
    "text", ['; a="', "; charset", "; ", "\\", '"', "=", "; a=b", "\t", "'", ";;=", ' "\\', ";charset=" + " " * 9]
)
def test_a_long_content_type_is_read_in_linear_time(text: str) -> None:
    for before in ("", ';a="', ";", ";charset"):
        start = time.perf_counter()
        charset(before + text * 50_000)
        assert time.perf_counter() - start < 1
