"""python -m tests.benchmarks.growth: does the cost of a request, or of a WebSocket, grow with how many there are?

Measured is the client's CPU time for one operation, user and system, at several sizes:

    requests     GETs of 1 KiB, so many in flight at once on one connection
    waiting      the same, with 100 slots for streams, and so many further tasks that wait for one
    origins      one GET after the other, while connections to so many origins are open, each in its turn
    opening      opening a WebSocket while so many are open, on 5 connections
    echo         an echo of 64 bytes on some of so many open WebSockets, on 5 connections
    memory       what the process grows by for each of these WebSockets, while idle
    tasks        the yardstick: bare Trio tasks that are parked and woken, so many at once, 100 in a pass

A curve is flat if the last point costs at most 1.2 times as much as the point it is compared with. Two things grow by
their nature: more live objects fit less well into the processor's caches, which the yardstick shows for Trio itself,
and the cyclic garbage collector has more to look at. So its share is printed as well.

Each point is measured in a new process, so servers and other points don't count. Points take turns, and the median of
the rounds counts. Requests are answered by nghttpd, in clear, WebSockets by a small server of this package (`echo`).
Every task sends five requests and ends, at all sizes, so that starting the tasks costs the same for each request.

Modules: `__main__` runs the points and prints the table; `curves` lists them; `points` is the process of one point;
`servers` and `echo` are what it talks to; `plot` draws the result.
"""
