"""The arithmetic of flow-control credit."""

from __future__ import annotations

from trio_h2ws._protocols.receive_window import ReceiveWindow


def test_credit_is_due_when_half_is_owed() -> None:
    window = ReceiveWindow(1000, 0)
    assert window.receive(600)
    assert not window.consume(499)
    assert window.consume(1)
    assert window.credit(10, 0, 1000) == 500
    assert (window.left, window.owed, window.size) == (900, 0, 1000)


def test_data_beyond_the_window_is_refused() -> None:
    window = ReceiveWindow(10, 0)
    assert window.receive(10)
    assert window.receive(0)
    assert not window.receive(1)


def test_a_window_of_one_byte_works() -> None:
    window = ReceiveWindow(1, 0)
    for _ in range(5):
        assert window.receive(1)
        assert window.consume(1)
        assert window.credit(1, 0, 1) == 1


def test_a_window_grows_when_half_is_read_in_two_round_trips() -> None:
    window = ReceiveWindow(1000, 0)
    window.receive(500)
    window.consume(500)
    assert window.credit(0.19, 0.1, 10_000) == 1500
    assert (window.size, window.left) == (2000, 2000)
    window.receive(1000)
    window.consume(1000)
    assert window.credit(0.5, 0.1, 10_000) == 1000  # slower: no growth
    assert window.size == 2000


def test_a_window_grows_to_its_bound_and_not_beyond() -> None:
    window = ReceiveWindow(1000, 0)
    for _ in range(5):
        window.receive(window.size // 2)
        window.consume(window.size // 2)
        window.credit(0.0, 1.0, 3000)
    assert window.size == window.left == 3000


def test_a_window_does_not_grow_before_the_first_round_trip() -> None:
    window = ReceiveWindow(1000, 5)
    window.receive(500)
    window.consume(500)
    assert window.credit(5, 0.0, 10_000) == 500
