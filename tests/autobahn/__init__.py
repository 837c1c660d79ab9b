"""The Autobahn|Testsuite over HTTP/2 and HTTP/1.1: every case that it has for WebSocket clients.

    python -m tests.autobahn                     (or: nox -s autobahn)
    python -m tests.autobahn --http 2 --cases '1.*,6.4.*'

Theory of operation
===================

The suite is a WebSocket server that plays one case with each client that connects: it sends frames, valid or not, and
looks at the answers. It speaks HTTP/1.1 in clear. HAProxy stands before it with TLS and HTTP/2, turns each
extended CONNECT (RFC 8441) into an Upgrade, and passes the frames on as they are, the broken ones, too. We are an
echo client, and all cases run on one HTTP/2 connection. Then they run again over HTTP/1.1, each on a connection of
its own, through the same HAProxy.

    Client ── HTTP/2, TLS ── HAProxy ── HTTP/1.1 ── wstest -m fuzzingserver

Cases run side by side, since many only wait: a case belongs to its own connection at the suite, and to nothing else.
Those that measure or carry much (9, 12, 13) run a few at a time, after the others, so that no clock of the suite
runs out because another case holds the processor.

What counts is the suite's own report, and its strict verdict: a case has passed if it behaved OK and closed OK, or if
the suite calls it informational. NON-STRICT has not passed; a case without a verdict has not, either.

The suite is a Python 2.7 program, installed by virtualenv below 20.22, the last that knows such interpreters. One is
looked for in the environment variable PYTHON27, then on PATH, as python2.7, pypy2.7, pypy and python2; `haproxy` in
HAPROXY, then on PATH. Where something is missing nothing is run, and the exit status is 2, "not run".

The rooms, from the top: `__main__` reads the options; `client` plays the cases; `suite` and `proxy` start the
programs; `report` reads the verdicts and writes the table.
"""
