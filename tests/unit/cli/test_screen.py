"""Writing above the line that is being typed, and messages as text."""

from __future__ import annotations

from trio_h2ws._cli.connect.screen import above, hex_of


def test_above_makes_room_for_what_a_terminal_wraps() -> None:
    assert above("x" * 10, "X", 10, 24) == "\x1b7\n\x1b[1A\x1b[1L\rX\x1b8\x1b[1B"
    assert above("x" * 11, "X", 10, 24).endswith("\x1b[2B")
    assert above("宽" * 6, "X", 10, 24).endswith("\x1b[2B")
    assert above("e\u0301" * 10, "X", 10, 24).endswith("\x1b[1B")
    assert above("a\n\n\nb", "a\n\n\nb", 10, 24) == "\x1b7\n\n\n\n\x1b[4A\x1b[4L\ra\n\n\nb\x1b8\x1b[4B"


def test_above_clears_a_screen_that_is_too_small() -> None:
    assert above("1\n2\n3", "1\n2\n3", 10, 3) == "\r\x1b[K1\n2\n3\n> "


def test_hex_of_a_long_message_is_cut() -> None:
    assert hex_of(bytes(3), 2) == "binary, 3 bytes: 00 00 …"
    assert hex_of(bytes(2), None) == "binary, 2 bytes: 00 00"
