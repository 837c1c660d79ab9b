"""The Autobahn|Testsuite over HTTP/2 and HTTP/1.1: every case it has for WebSocket clients.

    python -m tests.autobahn                     (or: nox -s autobahn)
    python -m tests.autobahn --http 2 --cases '1.*,6.4.*'

Theory of operation
===================

The suite is a WebSocket server that plays one case with each client that connects: it sends frames, valid or not, and
judges the answers. It speaks HTTP/1.1 without TLS. HAProxy, in front of it, accepts TLS and HTTP/2, turns each
extended CONNECT (RFC 8441) into an Upgrade, and passes the frames on unchanged, including the broken ones. The client
under test echoes, and runs all cases on one HTTP/2 connection. Then it runs them again over HTTP/1.1, each on a
separate connection, through the same HAProxy.

    Client ── HTTP/2, TLS ── HAProxy ── HTTP/1.1 ── wstest -m fuzzingserver

Cases run side by side, since many only wait, and the suite ties a case to its connection alone. Those that measure
time or carry much data (sections 9, 12 and 13) run a few at a time, after the others, so that none of the suite's
timeouts expires because another case is using the CPU.

What counts is the suite's report, and its strict verdict: a case passes if its behaviour and its close are both OK,
or if the suite calls it informational. NON-STRICT does not count as passed, and neither does a missing verdict.

The suite is a Python 2.7 program, installed with virtualenv below 20.22, the last to support that interpreter. The
interpreter is taken from the environment variable PYTHON27, or else from PATH, as python2.7, pypy2.7, pypy or
python2; `haproxy` from HAPROXY, or else from PATH. If something is missing, nothing is run and the exit status is 2,
"not run".

Modules, from the top: `__main__` reads the options; `client` plays the cases; `suite` and `proxy` start the
programs; `report` reads the verdicts and writes the table.
"""
