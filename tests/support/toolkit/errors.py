"""What an error shows, wherever it is logged."""

from __future__ import annotations

from collections.abc import Iterator


def texts_of(error: BaseException | None) -> Iterator[str]:
    """Every text of an error and of what led to it: message, repr, arguments, attributes, notes."""
    while error is not None:
        yield from (str(error), repr(error), repr(error.args), repr(error.__dict__))
        error = error.__cause__ or error.__context__
