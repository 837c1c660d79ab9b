"""The demo's work, on one client: a download, and many WebSockets and requests while it runs.

Each WebSocket sends messages at an interval, starting as soon as it is open, and the time of each echo is recorded.
When everything else has finished, the same WebSockets repeat this for a while without other traffic. The comparison
shows what a download costs the streams that share its connection.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import trio

import trio_h2ws

_ROUNDS_ALONE = 3
_ECHO_TIMEOUT = 5.0
_MESSAGES_PER_SECOND = 2000  # of all WebSockets together, at most


@dataclass
class Plan:
    """What to do, and where. Zero leaves a part out."""

    url: str
    websocket_path: str
    request_path: str
    download_path: str
    websockets: int
    requests: int
    download: int
    interval: float
    """Seconds between two messages of one WebSocket."""
    echoes: bool = True
    """Whether the WebSockets echo."""

    @property
    def download_url(self) -> str:
        return self.url + self.download_path.replace("{bytes}", str(self.download))

    @property
    def request_url(self) -> str:
        return self.url + self.request_path

    @property
    def websocket_url(self) -> str:
        return "ws" + self.url.removeprefix("http") + self.websocket_path


@dataclass
class Outcome:
    """What happened. Times are seconds."""

    opened: int = 0
    closed: int = 0
    """WebSockets that ended with 1000."""
    answered: int = 0
    downloaded: int = 0
    streams: int = 0
    streams_at_once: int = 0
    streams_allowed: int = 0
    connections: dict[int, trio_h2ws.ConnectionInfo] = field(default_factory=dict)
    """The last snapshot of every connection that was used."""
    work_seconds: float | None = None
    """Until all WebSockets were open, all requests answered and the download finished."""
    open_seconds: float | None = None
    request_seconds: float | None = None
    download_seconds: float | None = None
    echoes_with_download: list[float] = field(default_factory=list)
    """Times of the echoes that began while the download ran."""
    echoes_alone: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)


class Load:
    def __init__(self, client: trio_h2ws.Client, plan: Plan) -> None:
        self._client = client
        self._plan = plan
        self.outcome = Outcome()
        self._begin = 0.0
        self._downloading = False
        self._download_started = trio.Event()  # the response has started, or the download has failed
        self._unopened = plan.websockets
        self._all_opened = trio.Event()  # each WebSocket is open or has failed
        self._work_done = trio.Event()  # and the download and the requests have finished

    async def run(self) -> None:
        plan = self._plan
        self._begin = trio.current_time()
        if not plan.download:
            self._download_started.set()
        if not plan.websockets:
            self._all_opened.set()
        async with trio.open_nursery() as sockets:
            async with trio.open_nursery() as others:
                if plan.download:
                    others.start_soon(self._download)
                await self._download_started.wait()
                for number in range(max(plan.websockets, plan.requests)):
                    if number < plan.websockets:
                        sockets.start_soon(self._websocket, number)
                    if number < plan.requests:
                        others.start_soon(self._request)
            await self._all_opened.wait()
            self.outcome.work_seconds = self._elapsed()
            self._work_done.set()

    def _elapsed(self) -> float:
        return trio.current_time() - self._begin

    def _note_connections(self) -> None:
        for connection in self._client.connections:
            self._note_connection(connection)

    def _note_connection(self, connection: trio_h2ws.ConnectionInfo) -> None:
        outcome = self.outcome
        outcome.connections[connection.id] = connection
        outcome.streams_at_once = max(outcome.streams_at_once, connection.streams_in_use)
        outcome.streams_allowed = connection.streams_allowed

    async def _download(self) -> None:
        outcome = self.outcome
        try:
            async with self._client.stream("GET", self._plan.download_url) as response:
                response.raise_for_status()
                outcome.streams += 1
                self._note_connection(response.connection)
                self._downloading = True
                self._download_started.set()
                async for data in response:
                    outcome.downloaded += len(data)
                outcome.download_seconds = self._elapsed()
                self._note_connection(response.connection)
        except trio_h2ws.H2WSError as error:
            outcome.problems[f"the download: {error}"] += 1
        finally:
            self._downloading = False
            self._download_started.set()

    async def _request(self) -> None:
        outcome = self.outcome
        self._note_connections()
        try:
            response = await self._client.get(self._plan.request_url)
        except trio_h2ws.H2WSError as error:
            outcome.problems[f"a request: {error}"] += 1
        else:
            outcome.answered += 1
            outcome.streams += 1
            outcome.request_seconds = self._elapsed()
            self._note_connection(response.connection)

    async def _websocket(self, number: int) -> None:
        outcome = self.outcome
        self._note_connections()
        try:
            try:
                ws = await self._client.connect_websocket(self._plan.websocket_url)
            finally:
                self._unopened -= 1
                if not self._unopened:
                    self._all_opened.set()
            outcome.opened += 1
            outcome.streams += 1
            outcome.open_seconds = self._elapsed()
            self._note_connection(ws.connection)
            async with ws:
                await self._measure_echoes(ws, number)
            if ws.close_code == 1000:
                outcome.closed += 1
            else:
                outcome.problems[f"a WebSocket: closed with {ws.close_code}, not 1000"] += 1
        except (trio_h2ws.H2WSError, NoEcho) as error:
            outcome.problems[f"a WebSocket: {error}"] += 1

    async def _measure_echoes(self, ws: trio_h2ws.WebSocket, number: int) -> None:
        plan, outcome = self._plan, self.outcome
        if not plan.echoes:
            await self._work_done.wait()
            return
        interval = max(plan.interval, plan.websockets / _MESSAGES_PER_SECOND)
        # Spread the WebSockets over the interval, as independent users would be.
        offset = interval * number / plan.websockets
        await self._pause(offset)
        while not self._work_done.is_set():
            downloading = self._downloading
            waited = await echo(ws, f"{number} during the download")
            if downloading:
                outcome.echoes_with_download.append(waited)
            await self._pause(interval)
        await trio.sleep(offset)
        for _ in range(_ROUNDS_ALONE):
            outcome.echoes_alone.append(await echo(ws, f"{number} alone"))
            await trio.sleep(interval)

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._work_done.wait()


class NoEcho(Exception):
    """The WebSocket did not send the message back."""


async def echo(ws: trio_h2ws.WebSocket, text: str) -> float:
    """Send a message and return the seconds until it comes back. Other messages, such as a greeting, are ignored."""
    start = trio.current_time()
    with trio.move_on_after(_ECHO_TIMEOUT) as scope:
        await ws.send(text)
        while await ws.receive() != text:
            pass
    if scope.cancelled_caught:
        raise NoEcho(f"no echo within {_ECHO_TIMEOUT:g} s")
    return trio.current_time() - start
