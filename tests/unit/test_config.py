"""Every bound is checked when it is given, not when it is reached."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from trio_h2ws import DeflateOptions, Limits, Timeouts


@pytest.mark.parametrize("kind", [Limits, Timeouts])
def test_limits_and_timeouts_are_frozen(kind: type) -> None:
    instance = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(instance, dataclasses.fields(kind)[0].name, 1)
    assert kind() == kind()


@pytest.mark.parametrize(
    "options",
    [
        {"connect": -1},
        {"close": float("nan")},
        {"ping_interval": 0},
        {"idle": "5"},
        {"handshake": True},
    ],
)
def test_an_invalid_timeout_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Timeouts(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"max_send_buffer": 0},
        {"max_send_buffer": None},
        {"max_queued_messages": 0},
        {"max_queued_bytes": 0},
        {"stream_window": 0},
        {"stream_window": None},
        {"stream_window": 1.5},
        {"stream_window": 2**31},
        {"stream_window": 2**20, "max_stream_window": 2**19},
        {"max_stream_window": 2**31},
        {"connection_window": 65_534},
        {"max_streams": 0},
        {"max_connections_per_origin": 0},
        {"max_body_size": -1},
        {"max_header_list_size": None},
    ],
)
def test_an_invalid_limit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Limits(**options)


def test_only_optional_bounds_accept_none() -> None:
    for kind in (Limits, Timeouts):
        for field in dataclasses.fields(kind):
            if "None" in str(field.type):
                kind(**{field.name: None})
            else:
                with pytest.raises(ValueError):  # noqa: PT011
                    kind(**{field.name: None})


@pytest.mark.parametrize(
    "options",
    [
        {"server_max_window_bits": 8},
        {"client_max_window_bits": 16},
        {"level": 10},
        {"memory_level": 0},
        {"threshold": -1},
    ],
)
def test_an_invalid_deflate_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        DeflateOptions(**options)
