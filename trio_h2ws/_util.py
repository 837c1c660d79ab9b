"""A metaclass for classes without a public constructor."""

from __future__ import annotations

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
