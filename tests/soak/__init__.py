"""The soak: requests and WebSockets for minutes, over a network that fails all the time, with the books audited.

    python -m tests.soak --minutes 3 --seed 7          (or: nox -s soak)
    python -m tests.soak --minutes 2 --reloads         (WebSockets behind proxies that are reloaded: `reloads.py`)

Theory of operation
===================

    clients ── TLS ──► proxy ── TLS ──► trio_h2ws.testing server
                         ▲                    ▲
                         └──── the storm ─────┘

The proxy delays, splits, merges, slows, stalls, cuts and swallows TCP's bytes, in each direction independently. The
server takes part: it sends GOAWAY, changes its SETTINGS, resets streams, closes WebSockets, freezes, hangs up. What
happens, and when, is drawn from the seed. (The scheduler is not seeded, so two runs with one seed meet the same
faults, but not the same interleaving.)

A run consists of rounds. In a *storm*, faults come one after another. Then comes *calm*: the faults are lifted, but
what was swallowed stays lost, so a connection may still turn out to be dead. Once the clients have had time to find
that out, the calm is *settled*, and from then on nothing may fail. At the end of a round the work pauses and the
books are audited. After every third round each connection is drained, and nothing at all may be left.

What must hold at all times:
- every call ends within its bound: with the right result, or with a bare, documented error that no other call got;
- numbered messages arrive once, whole and in order; a body that ends normally is complete and correct;
- a dead peer is noticed within `ping_interval + ping_timeout`;
- credit is conserved to the byte, on each stream and each connection;
- the server, which uses h2, finds no protocol error.
At an audit: no stream, slot, task, socket or object is left, both sides count the same credit, and the next request
works. In the second half of a run memory does not grow.

Server and clients share one process, so that the books of both sides can be compared at the same instant.

Modules, from the top: `__main__` reads the options; `run` runs the rounds; `storm` draws the faults, and `proxy`
carries them out; `worker` makes the calls, which `requests` and `sockets` describe; `books` audits; `tally` records
what happened and prints it.
"""
