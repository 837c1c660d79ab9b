"""The soak: requests and WebSockets for minutes, over a network that fails all the time, with every book checked.

    python -m tests.soak --minutes 3 --seed 7          (or: nox -s soak)

Theory of operation
===================

    clients ── TLS ──► proxy ── TLS ──► trio_h2ws.testing server
                         ▲                    ▲
                         └──── the storm ─────┘

A TCP proxy of our own stands before the testing server. It delays, splits, merges, slows, stalls, cuts and swallows
bytes, each direction by itself. The server takes part: it says GOAWAY, changes its SETTINGS, resets streams, closes
WebSockets, freezes, hangs up. What happens, and when, is drawn from the seed. (The scheduler is not seeded, so two
runs with one seed meet the same weather, and not the same interleaving.)

A run is made of rounds. In a *storm* faults come one after the other. Then comes *calm*: the faults are lifted, but
what was swallowed stays lost, so a connection may still turn out to be dead. After the time that a client needs to
find that out the calm is *settled*, and from then on nothing may fail. At the end of a round the work pauses and the
books are audited. After every third round each connection is drained, and nothing at all may be left.

What must be true, at any time:
- every call ends within its bound: with the right result, or with a bare, documented error that nobody else got;
- numbered messages come once, whole and in order; a body that came whole is the right one;
- a dead peer is noticed within `ping_interval + ping_timeout`;
- credit is conserved to the byte, on each stream and each connection;
- the server, which stands on h2, finds nothing to object to.
At an audit: no stream, no slot, no task, no socket, no object is left, both sides count the same credit, and the
next request works. In the second half of a run memory stands still.

Server and clients share one process, so that the books of both sides can be compared in one moment.

The rooms, from the top: `__main__` reads the options; `run` goes through the rounds; `storm` draws the faults, and
`proxy` carries them out; `worker` makes the calls, which `requests` and `sockets` describe; `books` audits; `tally`
keeps what happened and prints it.
"""
