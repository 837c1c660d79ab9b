"""The calls that use WebSockets. Every message has a number; none may be lost, come twice or come early."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial

import trio

import trio_h2ws

from .requests import CallerError
from .worker import Caller, side_by_side

FILLER = "0123456789" * 40_000


def _message(c: Caller, number: int) -> str | bytes:
    size = c.random.choice((0, 10, 100, 100, 125, 126, 1500, 1600, 30_000)) if c.random.random() < 0.97 else 70_000
    text = f"{number}:{FILLER[:size]}"
    return text if c.random.random() < 0.5 else text.encode()


def _compression(c: Caller) -> trio_h2ws.DeflateOptions | None:
    return trio_h2ws.DeflateOptions() if c.random.random() < 0.3 else None


async def echo(c: Caller) -> None:
    """One task sends, another receives."""
    count = c.random.randrange(1, 40)
    expected: deque[str | bytes] = deque()
    async with c.client.websocket(c.ws("/ws/echo"), compression=_compression(c), http2=c.http2) as ws:

        async def send() -> None:
            for number in range(count):
                message = _message(c, number)
                expected.append(message)
                if c.random.random() < 0.1:
                    middle = c.random.randrange(len(message) + 1)
                    await ws.send([message[:middle], message[middle:]])  # type: ignore[list-item]
                else:
                    await ws.send(message)

        async def receive() -> None:
            for number in range(count):
                message: str | bytes
                if c.random.random() < 0.1:
                    parts = [part async for part in ws.receive_parts()]
                    message = (b"" if isinstance(parts[0], bytes) else "").join(parts) if parts else ""  # type: ignore[arg-type]
                else:
                    message = await ws.receive()
                c.tally.messages += 1
                c.check(bool(expected), f"message {number} came, but was never sent: {message[:20]!r}")
                wanted = expected.popleft()
                c.check(message == wanted, f"message {number} is {message[:20]!r}, not {wanted[:20]!r}")
                if c.random.random() < 0.03:
                    await trio.sleep(c.random.uniform(0, 0.2))

        await side_by_side(c, "ws echo", send, receive)
        c.check(not expected, f"{len(expected)} messages without their echo")


async def impatient(c: Caller) -> None:
    """Half of the calls are cancelled: a cancelled send has sent nothing, a cancelled receive has taken nothing."""
    expected: deque[str | bytes] = deque()
    async with c.client.websocket(c.ws("/ws/echo"), compression=_compression(c), http2=c.http2) as ws:

        async def send() -> None:
            for number in range(c.random.randrange(1, 60)):
                message = _message(c, number)
                expected.append(message)
                with trio.move_on_after(c.random.choice((0, 0, 0.001, 1))) as scope:
                    await ws.send(message)
                if scope.cancelled_caught:
                    c.check(message in expected, f"message {number} came, although its send was cancelled")
                    expected.remove(message)
            expected.append("end")
            await ws.send("end")

        async def receive() -> None:
            message: str | bytes = ""
            while message != "end":
                with trio.move_on_after(c.random.choice((0, 0, 0.001, 1))) as scope:
                    message = await ws.receive()
                if not scope.cancelled_caught:
                    c.tally.messages += 1
                    wanted = expected.popleft()
                    c.check(message == wanted, f"{message[:20]!r} came instead of {wanted[:20]!r}")

        await side_by_side(c, "ws impatient", send, receive)
        c.check(not expected, f"{len(expected)} messages without their echo")


async def many_senders(c: Caller) -> None:
    """Several tasks send on one socket, some of them in parts: no message may interrupt another."""
    count = c.random.randrange(1, 20)
    async with c.client.websocket(c.ws("/ws/echo"), http2=c.http2) as ws:

        async def send(name: int) -> None:
            for number in range(count):
                text = f"{name}:{number}:" + str(name) * c.random.choice((0, 10, 2000))
                if name == 0:
                    async with ws.open_message(text=True) as message:
                        for start in range(0, len(text), 700):
                            await message.send(text[start : start + 700])
                else:
                    await ws.send(text)

        async def receive() -> None:
            next_of = [0, 0, 0]
            while next_of != [count] * 3:
                message = await ws.receive_text()
                c.tally.messages += 1
                name, number, filler = message.split(":")
                c.check(int(number) == next_of[int(name)], f"{message[:20]!r} is not number {next_of[int(name)]}")
                c.check(filler == name * len(filler), f"{message[:20]!r} is mixed with others")
                next_of[int(name)] += 1

        await side_by_side(c, "ws senders", receive, *(partial(send, name) for name in range(3)))


async def push(c: Caller) -> None:
    """The server sends many messages, then Close 1000. Even a slow reader gets all of them before the end."""
    count, size = c.random.choice(((5, 10), (300, 100), (40, 20_000), (100, 4000)))
    got = 0
    slow = c.random.random() < 0.3
    async with c.client.websocket(c.ws(f"/ws/push/{count}/{size}"), http2=c.http2) as ws:
        async for message in ws:
            c.check(message == b"x" * size, f"message {got} is {message[:20]!r}, {len(message)} long")
            got += 1
            c.tally.messages += 1
            if slow and c.random.random() < 0.1:
                await trio.sleep(c.random.uniform(0, 0.05))
        if ws.close_code == 1000 and ws.close_reason == "all pushed":
            c.check(got == count, f"{got} of {count} messages before a clean end")


async def ping(c: Caller) -> None:
    async with c.client.websocket(c.ws("/ws/ping/20"), http2=c.http2) as ws:
        for _ in range(3):
            c.check(await ws.ping() >= 0, "a ping that came back before it was sent")
        # The server sent its pings before it answered ours, so our answers to them precede this message.
        await ws.send("how many?")
        c.check(await ws.receive() == "20", "a ping of the server was not answered")


async def watched(c: Caller) -> None:
    """A quiet WebSocket with `ping_interval`."""
    async with c.client.websocket(c.ws("/ws/echo"), http2=c.http2, ping_interval=0.3, ping_timeout=2.0) as ws:
        for number in range(3):
            await trio.sleep(c.random.uniform(0, 0.5))
            await ws.send(str(number))
            c.check(await ws.receive() == str(number), "a quiet echo")


async def auto(c: Caller) -> None:
    """Without `http2="require"` a server that does not answer is asked over HTTP/1.1 as well."""
    async with c.client.websocket(c.ws("/ws/echo")) as ws:
        await ws.send("x")
        c.check(await ws.receive() == "x", "echo")


async def closes(c: Caller) -> None:
    """The server closes first, in each of its ways."""
    code, end = c.random.choice((1000, 1001, 4000, 1005)), c.random.choice(("", "?end=stream", "?end=reset"))
    async with c.client.websocket(c.ws(f"/ws/close/{code}{end}"), http2=c.http2) as ws:
        c.check(await ws.receive() == "bye", "the last message before a Close was lost")
        try:
            await ws.receive()
        except trio_h2ws.WebSocketClosed as closed:
            if (closed.code, closed.clean, closed.initiator) != (code, True, "remote"):
                raise
            c.seen.add(closed)
        else:
            c.check(False, "a message after the Close")


async def own_error(c: Caller) -> None:
    try:
        async with c.client.websocket(c.ws("/ws/push/1000/1000"), http2=c.http2) as ws:
            await ws.receive()
            raise CallerError
    except CallerError:
        pass


async def group(c: Caller) -> None:
    """Several feeds in one loop. When one breaks, the others continue."""
    count, size = 30, 500
    got: Counter[trio_h2ws.WebSocket] = Counter()
    broken: set[trio_h2ws.WebSocket] = set()
    urls = [c.ws(f"/ws/push/{count}/{size}") for _ in range(c.random.randrange(1, 5))]
    async with c.client.open_websocket_group(urls, http2=c.http2) as feeds:
        while True:
            try:
                async for ws, message in feeds:
                    c.check(message == b"x" * size, "a message of a group")
                    got[ws] += 1
                    c.tally.messages += 1
                break
            except trio_h2ws.H2WSError as error:
                c.judge(error, "group")
                broken.add(error.websocket)  # type: ignore[attr-defined]
        for ws in feeds.websockets:
            if ws not in broken and ws.close_reason == "all pushed":
                c.check(got[ws] == count, f"{got[ws]} of {count} messages in a group")


async def reconnecting(c: Caller) -> None:
    """Whatever happens to one WebSocket, another replaces it until all messages are echoed."""
    wanted = c.random.randrange(5, 40)
    done = 0
    async with c.client.reconnecting_websocket(
        c.ws("/ws/echo"), first_backoff=0.05, max_backoff=0.5, http2=c.http2
    ) as sockets:
        async for ws in sockets:
            try:
                await ws.send(f"{done}")
                async for message in ws:
                    c.check(message == f"{done}", f"{message!r} instead of {done}")
                    c.tally.messages += 1
                    done += 1
                    if done == wanted:
                        return
                    await trio.sleep(0.01)
                    await ws.send(f"{done}")
            except trio_h2ws.H2WSError as error:
                # The server drained, maybe in calm: what was not sent is sent on the successor.
                if not (isinstance(error, trio_h2ws.WebSocketClosed) and error.reason.startswith("handed over")):
                    c.judge(error, "reconnecting")


SOCKETS = {
    "ws echo": (12, echo),
    "ws impatient": (5, impatient),
    "ws senders": (3, many_senders),
    "ws push": (6, push),
    "ws ping": (2, ping),
    "ws watched": (2, watched),
    "ws auto": (1, auto),
    "ws closes": (4, closes),
    "ws own error": (2, own_error),
    "ws group": (2, group),
    "ws reconnecting": (4, reconnecting),
}
