"""`demo`: 100 WebSockets and 200 requests on one connection while 10 MB are downloaded over it.

It starts the server of `trio_h2ws.testing` in the same process, or uses another origin with `--url`. There it first
tries each part once; a part that the origin does not serve is left out, with a note.
"""

from __future__ import annotations

import argparse
import math
import ssl
from contextlib import AsyncExitStack

import trio

import trio_h2ws

from ..errors import CommandError
from ..options import add_tls, count, seconds, size, ssl_context, with_scheme
from ..stdout import standard_error, standard_output
from .load import Load, NoEcho, Outcome, Plan, echo
from .progress import show_progress
from .report import Report
from .text import render

_OWN_MIN_STREAMS = 256
_MAX_CONCURRENT_STREAMS = 0x3  # RFC 9113, section 6.5.2
_OWN_INTERVAL, _OTHER_INTERVAL = 0.05, 0.25
_REQUEST_STREAMS = 8  # streams that WebSockets leave free for requests


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo", help="run many WebSockets and requests on one connection",
        description="Open many WebSockets and make many requests on one connection while a download runs over it.",
        epilog="Exit code 0 if everything worked on one connection; a part left out with a note is not a failure.",
    )  # fmt: skip
    parser.add_argument("--websockets", metavar="N", type=count, default=100, help="100 by default")
    parser.add_argument("--requests", metavar="N", type=count, default=200, help="200 by default")
    parser.add_argument("--download", metavar="BYTES", type=size, default=10_000_000, help="10MB by default")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument("--timeout", metavar="SECONDS", type=seconds, default=60.0, help="60 by default")
    other = parser.add_argument_group("another server")
    other.add_argument("--url", metavar="URL", help="its origin; by default a server is started in this process")
    other.add_argument("--websocket-path", metavar="PATH", default="/ws/echo", help="/ws/echo by default")
    other.add_argument("--request-path", metavar="PATH", default="/", help="/ by default")
    other.add_argument("--download-path", metavar="PATH", default="/bytes/{bytes}", help="/bytes/{bytes} by default")
    add_tls(other)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    plan = _plan(args)
    context = ssl_context(args)
    async with AsyncExitStack() as stack:
        server = None
        if args.url is None:
            # Imported here, because the rest of the command line works without the `testing` extra.
            from trio_h2ws.testing import open_server

            settings = {_MAX_CONCURRENT_STREAMS: max(_OWN_MIN_STREAMS, plan.websockets + _REQUEST_STREAMS)}
            try:
                server = await stack.enter_async_context(open_server(settings=settings))
            except ImportError as error:
                raise CommandError(f"{error}; or use another server with --url", code=1) from None
            plan.url, context = server.url, server.ssl_context
        report = await _measure(plan, context, check_first=server is None, timeout=args.timeout)
        if server is not None:
            report.add_server(server.stats)
    out = standard_output()
    await out.write(report.as_json() if args.json else render(report, out))
    return 0 if report.ok else 1


def _plan(args: argparse.Namespace) -> Plan:
    for option in ("websocket_path", "request_path", "download_path"):
        path = getattr(args, option)
        if not path.startswith("/"):
            raise CommandError(f"--{option.replace('_', '-')}: the path {path!r} does not begin with a slash")
    if not (args.websockets or args.requests or args.download):
        raise CommandError("nothing to do: --websockets, --requests and --download are all 0")
    url = ""
    if args.url is not None:
        url = with_scheme(args.url, "https").rstrip("/")
        url = url.replace("ws", "http", 1) if url.startswith("ws") else url
    return Plan(
        url=url,
        websocket_path=args.websocket_path,
        request_path=args.request_path,
        download_path=args.download_path,
        websockets=args.websockets,
        requests=args.requests,
        download=args.download,
        interval=_OWN_INTERVAL if args.url is None else _OTHER_INTERVAL,
    )


async def _measure(plan: Plan, context: ssl.SSLContext | None, *, check_first: bool, timeout: float) -> Report:
    notes: list[str] = []
    # "require": the demo is about one HTTP/2 connection, so it must fail without one.
    # A proxy from the environment does not apply to the server in this process.
    async with trio_h2ws.open_client(ssl_context=context, http2="require", trust_env=check_first) as client:
        load: Load | None = None
        with trio.move_on_after(timeout) as scope:
            if check_first:
                notes = await _fit_to_origin(client, plan)
            load = Load(client, plan)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(show_progress, standard_error(), load.outcome, plan)
                await load.run()
                nursery.cancel_scope.cancel()
        outcome = load.outcome if load is not None else Outcome()
        if scope.cancelled_caught:
            outcome.problems[f"not finished after {timeout:g} s (--timeout)"] += 1
        for connection in client.connections:
            outcome.connections[connection.id] = connection
    return Report(plan, outcome, notes)


async def _fit_to_origin(client: trio_h2ws.Client, plan: Plan) -> list[str]:
    """Try each part once, and remove from the plan what this origin does not serve. Returns a note for each."""
    notes: list[str] = []
    if plan.requests:
        async with client.stream("GET", plan.request_url) as response:
            if not response.ok:
                plan.requests = 0
                notes.append(f"no requests: {plan.request_path} returned {response.status}")
    if plan.download:
        async with client.stream("GET", plan.download_url) as response:
            if not response.ok:
                plan.download = 0
                notes.append(f"no download: {plan.download_path} returned {response.status}")
    if plan.websockets:
        try:
            async with client.websocket(plan.websocket_url) as ws:
                await echo(ws, "is there an echo?")
        except NoEcho as error:
            plan.echoes = False
            notes.append(f"echoes are not measured: {plan.websocket_path} sent {error}")
        except trio_h2ws.WebSocketRejected as error:
            plan.websockets = 0
            notes.append(f"no WebSockets: {plan.websocket_path} returned {error.status}")
        except (trio_h2ws.HTTP2NotAvailable, trio_h2ws.WebSocketError, trio_h2ws.StreamReset) as error:
            plan.websockets = 0
            notes.append(f"no WebSockets: {error}")
    # A WebSocket occupies its stream until it closes, and requests need streams as well.
    allowed = min((connection.streams_allowed for connection in client.connections), default=math.inf)
    if plan.websockets > max(1, allowed - _REQUEST_STREAMS):
        fewer = max(1, int(allowed) - _REQUEST_STREAMS)
        notes.append(f"{fewer} WebSockets instead of {plan.websockets}: the origin allows {allowed} streams at once")
        plan.websockets = fewer
    return notes
