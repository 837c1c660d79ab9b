"""Small things that belong to no other room."""

from __future__ import annotations

from abc import ABCMeta
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")


class PrivateConstructor(ABCMeta):
    """For classes that users hold but never make: calling the class is an error, `_create` is the way in."""

    def __call__(cls, *args: object, **kwargs: object) -> NoReturn:
        raise TypeError(f"{cls.__qualname__} has no public constructor: trio_h2ws makes it for you")

    def _create(cls: type[T], *args: Any, **kwargs: Any) -> T:
        made: T = super().__call__(*args, **kwargs)  # type: ignore[misc]
        return made
