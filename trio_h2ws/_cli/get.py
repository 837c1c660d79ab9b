"""`get URL`: make one request and stream the body to stdout, like a small curl."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import BinaryIO, TypeAlias

import trio

import trio_h2ws

from . import stdin
from .errors import CommandError
from .options import add_call, ssl_context, with_scheme
from .stdout import Output, standard_error, standard_output, visible
from .text import describe, milliseconds, shown_value

Content: TypeAlias = bytes | BinaryIO | AsyncIterator[bytes] | None
FORM = ("content-type", "application/x-www-form-urlencoded")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "get", help="make one request", description="Make one request and write the body to stdout as it arrives.",
        epilog="A response with status 4xx or 5xx is not an error: the exit code is 0.",
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="https:// is added if the scheme is missing")
    parser.add_argument("-X", dest="method", metavar="METHOD", help="GET by default, POST with -d or --data-file")
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "-d", dest="data", metavar="DATA", help=f"send this body, as {FORM[1]} unless -H sets another type"
    )
    data.add_argument("--data-file", metavar="FILE", help="send the contents of FILE; - is stdin, sent as it is read")
    parser.add_argument("-o", dest="output", metavar="FILE", help="write the body to FILE")
    parser.add_argument(
        "-i", dest="include", action="store_true", help="write the status and headers before the body"
    )
    add_call(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    url = with_scheme(args.url, "https")
    context = ssl_context(args)
    stderr = standard_error()
    start = trio.current_time()
    async with (
        _content(args) as (content, headers),
        trio_h2ws.open_client(ssl_context=context, http2=args.http2) as client,
    ):
        method: str = args.method or ("GET" if content is None else "POST")
        async with client.stream(
            method, url, headers=headers, content=content, follow_redirects=args.follow
        ) as response:
            if args.verbose:
                await _show_head(stderr, response, trio.current_time() - start)
            size = await _write_body(args, response)
            if args.verbose:
                await _show_end(stderr, response, size, trio.current_time() - start)
    return 0


@asynccontextmanager
async def _content(args: argparse.Namespace) -> AsyncIterator[tuple[Content, list[tuple[str, str]]]]:
    """The body, and the headers with its type."""
    headers: list[tuple[str, str]] = args.headers
    if args.data is not None:
        if not any(name.lower() == FORM[0] for name, _ in headers):
            headers = [*headers, FORM]
        yield os.fsencode(args.data), headers
    elif args.data_file is None:
        yield None, headers
    elif args.data_file == "-":
        yield stdin.pieces(), headers
    else:
        _check_readable(args.data_file)
        async with await trio.open_file(args.data_file, "rb") as file:
            yield file.wrapped, headers


def _check_readable(path: str) -> None:
    if not os.access(path, os.R_OK) or os.path.isdir(path):
        raise CommandError(f"--data-file {path}: cannot read it; give the path of a readable file, or - for stdin")


async def _write_body(args: argparse.Namespace, response: trio_h2ws.Response) -> int:
    """Write the body to stdout or to the file of `-o`. Returns its size in bytes."""
    size, last = 0, b"\n"
    if args.output is None or args.output == "-":
        out = standard_output()
        if args.include:
            await out.write(_head(response, out.is_terminal))
        async for data in response:
            await out.write(data)
            size += len(data)
            last = data
        if args.verbose and out.is_terminal and not last.endswith(b"\n"):
            await out.write("\n")  # so that the report starts on a new line of the terminal
        if response.may_be_truncated:
            raise _truncated(response, "what was written may be incomplete")
        return size
    # Opened only now, so that a failed request does not overwrite an existing file.
    async with await trio.open_file(args.output, "wb") as file:
        if args.include:
            await file.write(_head(response, False))
        async for data in response:
            await file.write(data)
            size += len(data)
    if response.may_be_truncated:
        path = trio.Path(args.output)
        if await path.is_file():  # and not a device or a pipe
            await path.unlink()
            raise _truncated(response, f"{args.output} was removed; without -o, the body is written to stdout")
        raise _truncated(response, f"what was written to {args.output} may be incomplete")
    return size


def _truncated(response: trio_h2ws.Response, consequence: str) -> CommandError:
    reason = "the end of the body was not marked, so it may have been cut off"
    return CommandError(f"{response.url}: {reason}: {consequence}", 1)


def _head(response: trio_h2ws.Response, is_terminal: bool) -> bytes:
    if is_terminal:
        fields = response.headers.items()
        pairs = [(visible(name).encode(), visible(shown_value(name, value)).encode()) for name, value in fields]
    else:
        raw = [(name, name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers.raw]
        pairs = [(name, shown_value(text, value).encode("latin-1")) for name, text, value in raw]
    status = f"{response.http_version} {response.status}\n".encode()
    return status + b"".join(b"%b: %b\n" % pair for pair in pairs) + b"\n"


async def _show_head(stderr: Output, response: trio_h2ws.Response, elapsed: float) -> None:
    for earlier in response.history:
        await stderr.write_line(stderr.dim(f"> {earlier.method} {earlier.url}"))
        await stderr.write_line(stderr.dim(f"< {earlier.status} {earlier.http_version}"))
    await stderr.write_line(stderr.dim(f"> {response.method} {response.url}"))
    for status, headers in response.informational:
        fields = "; ".join(f"{name}: {shown_value(name, value)}" for name, value in headers.items())
        await stderr.write_line(stderr.dim(f"< {status} {visible(fields)}".rstrip()))
    stream = "" if response.stream_id is None else f", stream {response.stream_id}"
    await stderr.write_line(f"< {response.status} {response.http_version}{stream}, after {milliseconds(elapsed)}")
    if 300 <= response.status < 400 and "location" in response.headers:
        location = visible(shown_value("location", response.headers["location"]))
        await stderr.write_line(stderr.dim(f"* redirect to {location}, not followed (see -L)"))


async def _show_end(stderr: Output, response: trio_h2ws.Response, size: int, elapsed: float) -> None:
    await stderr.write_line(stderr.dim(f"* body {size:,} bytes, after {milliseconds(elapsed)}"))
    for name, value in response.trailers.items():
        await stderr.write_line(stderr.dim(f"* trailer {visible(f'{name}: {shown_value(name, value)}')}"))
    for line in describe(response.connection):
        await stderr.write_line(stderr.dim(line))
