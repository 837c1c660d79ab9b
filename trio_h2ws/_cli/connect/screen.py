"""What `connect` shows: messages on stdout, notes about the connection on stderr.

If stdin, stdout and stderr are all a terminal, messages arrive while the user is typing. The terminal keeps the line
that is being typed, and the program can't know its content. So a message is inserted above it, in lines that the
terminal adds (ECMA-48: IL), and the typed line and the cursor stay unchanged.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata

from ..stdout import standard_error, standard_output, visible

PROMPT = "> "
_BYTES_SHOWN = 512  # bytes of a binary message that are shown at a terminal


class Screen:
    def __init__(self) -> None:
        self._out = standard_output()
        self._err = standard_error()
        typed_by_person = sys.stdin is not None and sys.stdin.isatty()
        self.is_conversation = (
            typed_by_person and self._out.is_terminal and self._err.is_terminal and os.environ.get("TERM") != "dumb"
        )

    async def prompt(self) -> None:
        if self.is_conversation:
            await self._out.write(self._out.dim(PROMPT))

    async def message(self, message: str | bytes) -> None:
        """Print a message. Raises OSError if writing to stdout fails."""
        out = self._out
        text = hex_of(message, _BYTES_SHOWN if out.is_terminal else None) if isinstance(message, bytes) else message
        if not out.is_terminal:
            await out.write(text + "\n")
            return
        text = visible(text)
        if self.is_conversation:
            await out.write(above(f"< {text}", out.good("<") + f" {text}", *_terminal()))
        else:
            await out.write(f"{out.good('<')} {text}\n")

    async def note(self, text: str) -> None:
        text = visible(text)
        line = self._err.dim(text)
        if self.is_conversation:
            await self._out.write(above(text, line, *_terminal()))
        else:
            await self._err.write_line(line)

    async def final_line(self, text: str, *, normal: bool) -> None:
        """Print the last line, in place of the prompt."""
        clear = "\r\x1b[K" if self.is_conversation else ""
        text = visible(text)
        await self._err.write_line(clear + (text if normal else self._err.bad(text)))


def hex_of(data: bytes, limit: int | None) -> str:
    """`binary, 3 bytes: 00 01 02`"""
    left = "" if limit is None or len(data) <= limit else " …"
    return f"binary, {len(data)} bytes: {data[:limit].hex(' ')}{left}"


def above(plain: str, styled: str, columns: int, rows: int) -> str:
    """The control functions that show `styled` above the line that is being typed. `plain` determines its height.

    They save the cursor, make space below (scrolling if necessary), insert as many lines, so that the typed line
    moves down, write into them, and move the cursor to the typed line again. Text higher than the screen can't be
    inserted: it replaces the typed line on the screen, but the terminal keeps that line as input.
    """
    height = sum(max(1, -(-_width(line) // columns)) for line in plain.split("\n"))
    if height >= rows:
        return f"\r\x1b[K{styled}\n{PROMPT}"
    space = "\n" * height + f"\x1b[{height}A\x1b[{height}L"
    return f"\x1b7{space}\r{styled}\x1b8\x1b[{height}B"


def _terminal() -> tuple[int, int]:
    size = shutil.get_terminal_size()
    return max(1, size.columns), max(1, size.lines)


def _width(text: str) -> int:
    """Approximate columns on a terminal: wide characters take two, combining ones none, a tab up to eight."""
    width = 0
    for letter in text:
        if letter == "\t":
            width += 8 - width % 8
        elif not unicodedata.combining(letter):
            width += 2 if unicodedata.east_asian_width(letter) in "WF" else 1
    return width
