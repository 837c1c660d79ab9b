"""A metaclass for classes without a public constructor, and the check of seconds."""

from __future__ import annotations

import math
from abc import ABCMeta
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class PrivateConstructor(ABCMeta):
    """For classes that users get but never create: calling the class is an error, and `_create` makes an object."""

    def __call__(cls, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(f"{cls.__qualname__} has no public constructor: use trio_h2ws.open_client() and its client")

    def _create(cls: type[T], *args: Any, **kwargs: Any) -> T:
        made: T = super().__call__(*args, **kwargs)  # type: ignore[misc]
        return made


def check_seconds(name: str, value: float | None, *, optional: bool = True) -> None:
    """Raises ValueError or TypeError for what is not a finite number of seconds above 0, or None if `optional`."""
    if value is None and optional:
        return
    or_none = " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds{or_none}, not {type(value).__name__}")
    try:
        is_good = 0 < float(value) < math.inf
    except OverflowError:
        is_good = False
    if not is_good:
        raise ValueError(f"{name} must be a finite number of seconds above 0{or_none}, not {value!r}")
