"""What both tables of routes share: the segments of a path as arguments, and the call of a route with them."""

from __future__ import annotations

from collections.abc import Callable

from .._exchange import Exchange, Fields

TEXT: Fields = [(b"content-type", b"text/plain; charset=utf-8")]

MAX_COUNT = 2**53
MAX_PIECE = 2**24
MAX_CODE = 2**32 - 1


def number(text: str, highest: int) -> int:
    """A number from 0 to `highest`; otherwise ValueError, which `call` turns into a 400."""
    value = int(text)
    if not 0 <= value <= highest:
        raise ValueError(f"{value} is not between 0 and {highest}")
    return value


def seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(f"{value} is not a number of seconds from 0 up")
    return value


def final_status(text: str) -> int:
    value = number(text, 599)
    if value < 200:
        raise ValueError(f"{value} is not a final status, which is 200 to 599")
    return value


def call(exchange: Exchange, route: Callable[..., None] | None, *arguments: object) -> None:
    """Run a route. A missing route or a wrong number of arguments is a 404, a bad argument a 400."""
    if route is None or len(arguments) != route.__code__.co_argcount:
        exchange.respond(404, TEXT, b"no such route\n")
        return
    try:
        route(*arguments)
    except ValueError as error:
        exchange.respond(400, TEXT, f"{error}\n".encode())
