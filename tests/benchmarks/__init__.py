"""The benchmarks: what one piece of work costs with this library, with its peers, and at the least.

    python -m tests.benchmarks              (or: nox -s bench)

Theory of operation
===================

What is measured. The client's own CPU time, user and system, and the wall time. Each client runs in a process of its
own, so its CPU time is its own; servers, and a link where there is one, are other processes. A client first warms
up (imports, dials, one turn of the work), then a `Meter` runs over the work alone.

Against what. The peers do the same work, in the same run. The servers are neutral and written in C: nghttpd for
requests; a uWebSockets echo behind HAProxy for WebSockets, over HTTP/2 for us and over HTTP/1.1 and TLS, through
the same HAProxy, for the peers. Where they are not installed, Hypercorn does for both, and the report says so.

The floor of a work is what h2, hpack and wsproto alone cost for the same bytes, in and out, with no IO at all, no
TLS, no event loop. It is not a bound (who does without h2's stream machine may go below it), but it is a measure.

How noise is kept out. Clients take turns, A B C A B C, so a slow minute hits all; the median of the rounds counts;
goals are ratios within one run. Absolute numbers belong to the machine they were taken on. Never in CI.

The rooms, from the top: `__main__` reads the options; `rows` says which works there are, who does them and what the
goal is; `rounds` runs them; `worker` is the process of one client, where a `loads` function drives a kit (`kits`: one
small adapter for each client library) or a floor (`floors`) runs; `servers` starts what they talk to; `report`
and `chart` show the result.
"""
