"""The engine against h2 as the server, in any order of events: credit is conserved to the byte, and every stream ends
exactly once.

Bytes travel in pieces and only when a rule says so, so each side acts on outdated information. When everything has
arrived, both must count the same.
"""

from __future__ import annotations

from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
from h2.settings import SettingCodes, Settings
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import trio_h2ws
from toolkit.inside import (
    assert_credit_is_whole,
    h2_receive_window_of,
    h2_receive_window_of_stream,
    receive_window_of,
    send_window_of,
    streams_of,
)
from toolkit.record import GET, RecordedStream, Recorder

sizes = st.sampled_from([1, 10, 500, 1000, 3000, 20_000])


class CreditMachine(RuleBasedStateMachine):
    @initialize(window=st.sampled_from([1, 100, 1000, 40_000]), theirs=st.sampled_from([0, 100, 65_535]))
    def begin(self, window: int, theirs: int) -> None:
        limits = trio_h2ws.Limits(
            stream_window=window, max_stream_window=4 * window, connection_window=65_535, max_idle_frames=10**6
        )
        self.client = Recorder(limits, settings=None)
        self.client.engine.round_trip = 1.0  # windows grow
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        # Before the connection begins, since h2 would apply a later change without sending it.
        self.server.local_settings = Settings(client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: theirs})
        self.server.initiate_connection()
        self.to_server = self.client.preface
        self.to_client = b""
        self.all: list[RecordedStream] = []
        self.responded: set[int] = set()
        self.answered: set[int] = set()
        self.received: dict[int, int] = {}  # by the server, and not credited yet
        self.arrive()

    # What travels.

    def at_server(self, data: bytes) -> None:
        for event in self.server.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.received[event.stream_id] = 0
            elif isinstance(event, h2.events.DataReceived):
                self.received[event.stream_id] += event.flow_controlled_length
            elif isinstance(event, h2.events.ConnectionTerminated):
                raise AssertionError(event)

    def collect(self) -> None:
        self.to_server += self.client.take()
        self.to_client += self.server.data_to_send()

    def arrive(self) -> None:
        """Deliver everything, until neither side has anything to send."""
        self.collect()
        while self.to_server or self.to_client:
            data, self.to_server = self.to_server, b""
            self.at_server(data)
            data, self.to_client = self.to_client, b""
            self.client.engine.receive(data)
            self.collect()

    @rule(part=st.integers(1, 5000))
    def some_arrives_at_the_server(self, part: int) -> None:
        self.collect()
        data, self.to_server = self.to_server[:part], self.to_server[part:]
        self.at_server(data)

    @rule(part=st.integers(1, 5000))
    def some_arrives_at_the_client(self, part: int) -> None:
        self.collect()
        data, self.to_client = self.to_client[:part], self.to_client[part:]
        self.client.engine.receive(data)

    # What the client does.

    def pick(self, which: int) -> RecordedStream:
        live = [stream for stream in self.all if not stream.closed]
        return live[which % len(live)]

    def some_live(self) -> bool:
        return any(not stream.closed for stream in self.all)

    @precondition(lambda self: self.client.engine.settings_received and len(streams_of(self.client)) < 20)
    @rule(end=st.booleans())
    def open(self, end: bool) -> None:
        self.all.append(self.client.open(GET, end=end, greedy=False))

    @precondition(some_live)
    @rule(which=st.integers(0, 50), size=sizes, end=st.booleans())
    def send(self, which: int, size: int, end: bool) -> None:
        stream = self.pick(which)
        if not (stream.local_ended or stream.end_queued):
            self.client.engine.send(stream, bytes(size))
            if end:
                self.client.engine.end(stream)

    @precondition(some_live)
    @rule(which=st.integers(0, 50))
    def cancel(self, which: int) -> None:
        self.client.engine.reset(self.pick(which), 8)

    @precondition(some_live)
    @rule(which=st.integers(0, 50), share=st.sampled_from([1, 2, 10]))
    def consume(self, which: int, share: int) -> None:
        stream = self.pick(which)
        size = stream.unread // share
        if size:
            stream.unread -= size
            self.client.engine.consume(stream, size)

    # What the server does. It may know less than the client by now.

    def theirs(self, which: int) -> int | None:
        known = [n for n, stream in self.server.streams.items() if not stream.closed]
        return known[which % len(known)] if known else None

    @rule(which=st.integers(0, 50), size=sizes, end=st.booleans(), pad=st.none() | st.integers(0, 255))
    def answer(self, which: int, size: int, end: bool, pad: int | None) -> None:
        number = self.theirs(which)
        if number is None or number in self.answered:
            return
        if number not in self.responded:
            self.server.send_headers(number, [(":status", "200")])
            self.responded.add(number)
        extra = 0 if pad is None else pad + 1
        room = min(size, self.server.local_flow_control_window(number) - extra, 16_384 - extra)
        if room >= 0:
            self.server.send_data(number, bytes(room), end_stream=end, pad_length=pad)
            if end:
                self.answered.add(number)

    @rule(which=st.integers(0, 50), code=st.sampled_from([0, 2, 7, 8]))
    def refuse(self, which: int, code: int) -> None:
        number = self.theirs(which)
        if number is not None:
            self.server.reset_stream(number, code)

    @rule(which=st.integers(0, 50))
    def give_credit(self, which: int) -> None:
        owed = [number for number, size in self.received.items() if size]
        if owed:
            number = owed[which % len(owed)]
            size, self.received[number] = self.received[number], 0
            try:
                self.server.acknowledge_received_data(size, number)
            except h2.exceptions.StreamClosedError:
                self.server.increment_flow_control_window(size)

    @rule(size=st.sampled_from([0, 50, 1000, 100_000]))
    def change_the_initial_window(self, size: int) -> None:
        self.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: size})

    @rule()
    def ask(self) -> None:
        self.server.ping(b"12345678")

    # What must be true.

    @rule()
    def settle(self) -> None:
        self.arrive()
        streams, server = streams_of(self.client), self.server
        assert receive_window_of(self.client).left == server.outbound_flow_control_window
        assert send_window_of(self.client) == h2_receive_window_of(server)
        alive = {number for number, stream in server.streams.items() if not stream.closed}
        assert alive == set(streams)
        for number, stream in streams.items():
            theirs = server.streams[number]
            if not stream.remote_ended:
                assert stream.receive_window.left == theirs.outbound_flow_control_window
            assert stream.send_window == h2_receive_window_of_stream(theirs)

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "client"):
            return
        assert self.client.engine.fault is None
        assert_credit_is_whole(self.client)
        for stream in streams_of(self.client).values():
            window = stream.receive_window
            assert window.left + window.owed + stream.unread == window.size
            assert window.left >= 0

    @invariant()
    def every_stream_ends_exactly_once(self) -> None:
        if not hasattr(self, "client"):
            return
        heard: dict[str, list[Any]] = {"free": [], "end": [], "error": []}
        for entry in self.client.log:
            if entry[0] in heard:
                heard[entry[0]].append(entry[1])
        for numbers in heard.values():
            assert len(set(numbers)) == len(numbers)
        assert set(heard["free"]) == {stream.id for stream in self.all if stream.closed}
        assert set(streams_of(self.client)) == {stream.id for stream in self.all if not stream.closed}

    def teardown(self) -> None:
        if hasattr(self, "client"):
            self.settle()
            for stream in self.all:
                self.client.engine.reset(stream, 8)
            self.settle()
            assert streams_of(self.client) == {}


TestCredit = CreditMachine.TestCase
# Not `explain`: it could outlast the test's deadline, and then the failure itself would not be seen.
TestCredit.settings = settings(
    max_examples=60,
    stateful_step_count=60,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
