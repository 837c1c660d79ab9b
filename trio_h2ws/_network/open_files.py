"""Too many open files: how that shows when a connection is opened, and lookups that fail because of it.

The operating system refuses a socket with EMFILE (the process has too many files) or ENFILE (the system has). Trio
tries several addresses, and groups the errors.

A lookup of a name opens files in a thread: /etc/hosts, sockets to name servers. If it can't, it reports only that the
name is not known, and when the report arrives other threads have closed their files. So if files are short at all,
lookups are made one at a time, and one that fails is repeated after pauses that grow, before it is believed. If a
lookup fails when hardly any file is left, that is the reason.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import sys

import trio

_OF_LOOKUPS = 120  # files that lookups may have open for a moment: Trio runs up to 40 at once
_NEARLY_ALL = 10
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.64  # seconds; all of them together: 1.3


def find_refused_file(error: BaseException) -> OSError | None:
    """The error with which the operating system refused a file, if that is why opening a connection failed."""
    causes = [error]
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return _refusal_within(_NEARLY_ALL)
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            return cause
        if isinstance(cause, BaseExceptionGroup):
            causes += cause.exceptions
        elif cause.__cause__ is not None:
            causes.append(cause.__cause__)
    return None


def _refusal_within(files: int) -> OSError | None:
    """The error that the process will get when it opens as many files, or fewer."""
    try:
        with socket.socket() as probe:
            number = probe.fileno()  # the lowest that is free
    except OSError as refused:
        return refused
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE)) if number + files >= _most() else None


def _most() -> float:
    if sys.platform == "win32":
        return math.inf
    import resource

    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if most == resource.RLIM_INFINITY else most


async def open_tcp_stream(host: str, port: int, one_at_a_time: trio.Lock) -> trio.SocketStream:
    """`trio.open_tcp_stream`, for a process that may be short of files. All dials share the lock."""
    if _refusal_within(_OF_LOOKUPS) is None:
        try:
            return await trio.open_tcp_stream(host, port)
        except socket.gaierror:
            if _refusal_within(_OF_LOOKUPS) is None:
                raise
    failure: OSError | None = None
    for address in await _look_up(host, port, one_at_a_time):
        try:
            return await trio.open_tcp_stream(address, port)  # which does not look up anything
        except OSError as error:
            failure = failure or error
    assert failure is not None  # a lookup finds an address, or raises
    raise failure


async def _look_up(host: str, port: int, one_at_a_time: trio.Lock) -> list[str]:
    pause = _FIRST_PAUSE
    refusal: OSError | None = None
    while True:
        try:
            async with one_at_a_time:
                found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
            return [str(entry[4][0]) for entry in found]
        except socket.gaierror:
            refusal = refusal or _refusal_within(_NEARLY_ALL)
            if pause > _LONGEST_PAUSE:
                if refusal is not None:
                    raise refusal from None
                raise
        await trio.sleep(pause)
        pause *= 2
