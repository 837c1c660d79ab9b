"""Every bound is checked when it is given, not when it is reached."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import pytest

from trio_h2ws import DeflateOptions, Limits, Timeouts

KINDS = (Limits, Timeouts, DeflateOptions)
FIELDS = [(kind, field) for kind in KINDS for field in dataclasses.fields(kind)]
NONSENSE = [-1e9, -(2**63), math.nan, -math.inf, 10**400, 2**63, "5", b"5", [], object(), 1 + 1j, Ellipsis]


def name(value: Any) -> str:
    return getattr(value, "name", None) or getattr(value, "__name__", "")


@pytest.mark.parametrize("kind", KINDS)
def test_options_are_frozen(kind: type) -> None:
    instance = kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(instance, dataclasses.fields(kind)[0].name, 1)
    assert kind() == kind()


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=name)
def test_what_makes_no_sense_is_refused(kind: Any, field: Any) -> None:
    nonsense = [*NONSENSE]
    if field.type.startswith("int"):
        nonsense += [1.5, 12.0, math.inf, True, False]
    if field.type.startswith("float"):
        nonsense += [True, False]
    if field.type == "bool":
        nonsense += [0, 1, "yes"]
    if "None" not in field.type:
        nonsense.append(None)
    for value in nonsense:
        with pytest.raises(ValueError, match=rf"{kind.__name__}\.{field.name} must be "):
            kind(**{field.name: value})


@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=name)
def test_none_is_accepted_where_the_type_says_so(kind: Any, field: Any) -> None:
    if "None" in field.type:
        kind(**{field.name: None})


@pytest.mark.parametrize(
    "options",
    [
        {"max_send_buffer": 0},
        {"max_queued_messages": 0},
        {"max_queued_bytes": 0},
        {"stream_window": 0},
        {"stream_window": 2**31},
        {"stream_window": 2**20, "max_stream_window": 2**19},
        {"max_stream_window": 2**31},
        {"connection_window": 65_534},
        {"connection_window": 2**31},
        {"max_streams": 0},
        {"max_connections_per_origin": 0},
    ],
)
def test_an_impossible_limit_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Limits\."):
        Limits(**options)


def test_an_interval_of_0_is_refused() -> None:
    with pytest.raises(ValueError, match="ping_interval"):
        Timeouts(ping_interval=0)


@pytest.mark.parametrize(
    "options",
    [
        {"server_max_window_bits": 8},
        {"client_max_window_bits": 16},
        {"client_max_window_bits": 12.5},
        {"level": 10},
        {"level": -2},
        {"memory_level": 0},
        {"threshold": -1},
    ],
)
def test_an_impossible_deflate_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"DeflateOptions\."):
        DeflateOptions(**options)


def test_the_largest_values_are_accepted() -> None:
    Limits(max_message_size=sys.maxsize, max_header_list_size=2**40)
    Timeouts(connect=math.inf, idle=sys.maxsize)
