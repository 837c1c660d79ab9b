"""The benchmarks: what a unit of work costs with this library, with its peers, and with the protocol libraries alone.

    python -m tests.benchmarks              (or: nox -s bench)

Theory of operation
===================

What is measured. The client's CPU time, user and system, and the wall time. Each client runs in a separate process,
so that its CPU time is known; servers, and the link where one is used, are other processes. A client first warms up
(imports, dials, a little of the work), then a `Meter` covers the work alone.

Against what. The peers do the same work, in the same run, and fail if an answer is wrong: its status, its length, its
version of HTTP, the text of an echo. The servers are neutral and written in C: nghttpd for requests; nginx for
HTTP/1.1 and for uploads; a uWebSockets echo server and HAProxy for WebSockets, over HTTP/2 for us and, through the
same HAProxy, over HTTP/1.1 with TLS for the peers. Where they are not installed, Hypercorn replaces them, and the
report says so. A peer that is not installed is left out, and the report says that as well.

Peers in other languages (`programs`) are processes whose CPU time the system reports when they end. Each runs twice,
with some of the work and with more: the difference, divided by the additional units, is the cost of one, and the
start of the process is not in it.

Ours never uses what the extra `speedups` installs, unless a row says so: that is what a plain installation does.

The floor of a workload is what h2, hpack and wsproto alone cost for the same bytes, in and out, with no IO, no TLS
and no event loop. It is a yardstick, not a lower bound: a client without h2's stream state machine can be cheaper.

How noise is kept out. Clients take turns, A B C A B C, so a slow minute affects all of them; the median of the rounds
counts; goals are ratios within one run. Absolute numbers depend on the machine. Never run in CI.

Modules, from the top: `__main__` reads the options; `rows` lists the workloads (each a `row.Row`), the clients that
run them and the goals; `clients` says what runs each client; `rounds` runs them; `worker` is the process of one
client, in which a `loads` function drives a kit (`kits`: one small adapter for each client library) or a floor
(`floors`) runs; `servers` starts what the clients talk to; `report` and `chart` show the result, and `readme` makes
README's table of it.
"""
