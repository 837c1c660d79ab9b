"""The arithmetic of flow-control credit."""

from __future__ import annotations

from trio_h2ws._protocols.receive_window import ReceiveWindow


def test_credit_comes_when_half_is_owed() -> None:
    window = ReceiveWindow(1000, 0)
    assert window.receive(600)
    assert not window.consume(499)
    assert window.consume(1)
    assert window.credit(10, 0, 1000) == 500
    assert (window.left, window.owed, window.size) == (900, 0, 1000)


def test_what_is_received_beyond_the_window() -> None:
    window = ReceiveWindow(10, 0)
    assert window.receive(10)
    assert window.receive(0)
    assert not window.receive(1)


def test_a_window_of_one_byte() -> None:
    window = ReceiveWindow(1, 0)
    for _ in range(5):
        assert window.receive(1)
        assert window.consume(1)
        assert window.credit(1, 0, 1) == 1


def test_it_grows_when_half_of_it_was_read_within_two_round_trips() -> None:
    window = ReceiveWindow(1000, 0)
    window.receive(500)
    window.consume(500)
    assert window.credit(0.19, 0.1, 10_000) == 1500
    assert (window.size, window.left) == (2000, 2000)
    window.receive(1000)
    window.consume(1000)
    assert window.credit(0.5, 0.1, 10_000) == 1000  # slower: no growth
    assert window.size == 2000


def test_it_grows_to_its_bound_and_not_beyond() -> None:
    window = ReceiveWindow(1000, 0)
    for _ in range(5):
        window.receive(window.size // 2)
        window.consume(window.size // 2)
        window.credit(0.0, 1.0, 3000)
    assert window.size == window.left == 3000


def test_nothing_grows_while_the_round_trip_is_not_known() -> None:
    window = ReceiveWindow(1000, 5)
    window.receive(500)
    window.consume(500)
    assert window.credit(5, 0.0, 10_000) == 500
