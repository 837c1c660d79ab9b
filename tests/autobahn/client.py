"""The client under test: it echoes, and plays many cases at once."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar
from urllib.parse import quote

import trio

import trio_h2ws
from trio_h2ws import DeflateOptions, Limits, Timeouts

T = TypeVar("T")

_CASE_SECONDS = 600.0  # the suite gives up after 480
_HEAVY = {9, 12, 13}

# The parameter sets of 13.1 to 13.7, from their titles: whether the server keeps its context, and the bits of its
# window. The suite's answer to each says what it asks of the client.
_SERVER_PARAMETERS = ((True, 15), (False, 15), (True, 9), (True, 15), (False, 9), (False, 15), (False, 9))


def compression(case: str) -> DeflateOptions | None:
    """What to offer in this case: our defaults in section 12, its parameters in 13. Every message is compressed."""
    section, group = (int(part) for part in case.split(".")[:2])
    if section == 12:
        return DeflateOptions(threshold=0)
    if section == 13:
        takeover, bits = _SERVER_PARAMETERS[group - 1]
        return DeflateOptions(
            threshold=0,
            server_context_takeover=takeover,
            server_max_window_bits=bits,
            client_context_takeover=True,
            client_max_window_bits=15,
        )
    return None


@dataclass
class Run:
    """What the client saw of a run. The verdicts are in the suite's report."""

    protocol: str  # "HTTP/2" or "HTTP/1.1"
    cases: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)  # by case: no case should raise these
    seconds: float = 0.0

    @property
    def agent(self) -> str:
        """Our name in the suite's report."""
        return f"trio_h2ws {self.protocol}"


class Player:
    def __init__(self, client: trio_h2ws.Client, url: str, protocol: str, progress: Callable[[str], None]) -> None:
        self._client = client
        self._url = url
        self._progress = progress
        self._done = 0
        self.run = Run(protocol)
        self._agent = quote(self.run.agent)

    async def play(self, wide: int, heavy_wide: int) -> None:
        count = json.loads(await self._ask("getCaseCount"))
        numbers: dict[str, int] = {}

        async def name(number: int) -> None:
            numbers[json.loads(await self._ask(f"getCaseInfo?case={number}"))["id"]] = number

        await _side_by_side(name, range(1, count + 1), wide)
        self.run.cases = sorted(numbers, key=order)
        start = trio.current_time()

        async def case(name: str) -> None:
            await self._case(name, numbers[name])

        light = [name for name in self.run.cases if order(name)[0] not in _HEAVY]
        heavy = [name for name in self.run.cases if order(name)[0] in _HEAVY]
        await _side_by_side(case, light, wide)
        await _side_by_side(case, heavy, heavy_wide)
        self.run.seconds = trio.current_time() - start
        async with self._client.websocket(f"{self._url}/updateReports?agent={self._agent}") as ws:
            with contextlib.suppress(trio_h2ws.WebSocketClosed):
                await ws.receive()  # no message comes: the suite closes once its report is written

    async def _case(self, name: str, number: int) -> None:
        start = trio.current_time()
        with trio.move_on_after(_CASE_SECONDS) as scope:
            try:
                await self._echo(f"{self._url}/runCase?case={number}&agent={self._agent}", compression(name))
            except trio_h2ws.WebSocketClosed:
                pass  # most cases end like this, and the suite judges the close
            except trio_h2ws.H2WSError as error:
                self.run.errors[name] = repr(error)
        if scope.cancelled_caught:
            self.run.errors[name] = f"not finished after {_CASE_SECONDS:g} s"
        behavior = "no verdict"
        try:
            with trio.move_on_after(30):
                status = await self._ask(f"getCaseStatus?case={number}&agent={self._agent}")
                behavior = json.loads(status)["behavior"]
        except trio_h2ws.H2WSError as error:
            self.run.errors.setdefault(name, repr(error))
        self._done += 1
        seconds = trio.current_time() - start
        self._progress(
            f"{self.run.protocol}  {self._done}/{len(self.run.cases)}  {name}  {behavior}  {seconds:.1f} s"
        )

    async def _echo(self, url: str, offered: DeflateOptions | None) -> None:
        async with self._client.websocket(url, compression=offered) as ws:
            if ws.http_version != self.run.protocol:
                raise trio_h2ws.WebSocketError(f"connected over {ws.http_version}, not {self.run.protocol}")
            async for message in ws:
                await ws.send(message)

    async def _ask(self, command: str) -> str | bytes:
        async with self._client.websocket(f"{self._url}/{command}") as ws:
            return await ws.receive()


async def _side_by_side(call: Callable[[T], Awaitable[None]], items: Sequence[T], wide: int) -> None:
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await call(item)

    async with trio.open_nursery() as nursery:
        for _ in range(wide):
            nursery.start_soon(work)


def order(case: str) -> tuple[int, ...]:
    return tuple(int(part) for part in case.split("."))


async def run(
    url: str, context: ssl.SSLContext, protocol: str, wide: int, heavy_wide: int, progress: Callable[[str], None]
) -> Run:
    """Play every case that the suite at `url` offers: all on one connection over HTTP/2, one each over HTTP/1.1."""
    timeouts = Timeouts(handshake=120, ping_timeout=120)  # the suite is one busy process
    limits = Limits(max_connections_per_origin=1, max_http1_connections=4 * wide)
    http2: Literal["require", "never"] = "require" if protocol == "HTTP/2" else "never"
    async with trio_h2ws.open_client(ssl_context=context, http2=http2, timeouts=timeouts, limits=limits) as client:
        player = Player(client, url, protocol, progress)
        await player.play(wide, heavy_wide)
    return player.run
