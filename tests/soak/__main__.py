"""python -m tests.soak: see the package's docstring for what is run and how."""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence

import trio

from .reloads import PROXIES, reloads, text
from .run import Plan, soak


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, metavar="N", help="how long (3)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="seed of the faults and calls (random)")
    parser.add_argument("--workers", type=int, default=5, metavar="N", help="concurrent calls of each client (5)")
    parser.add_argument("--short", action="store_true", help="run for seconds instead of minutes, as in CI")
    parser.add_argument(
        "--reloads",
        choices=PROXIES,
        nargs="*",
        default=None,
        help="WebSockets that reconnect, for --minutes behind each of these proxies (all), reloaded every 5 s",
    )
    return parser.parse_args()


def _reloads(names: Sequence[str], seconds: float) -> int:
    lost = 0
    for name in names:
        result = trio.run(reloads, name, seconds)
        lost += result.lost + result.failed_requests
        print(text(name, result), flush=True)
    return 1 if lost else 0


def main() -> int:
    options = _options()
    if options.reloads is not None:
        return _reloads(options.reloads or PROXIES, options.minutes * 60)
    seed = options.seed if options.seed is not None else secrets.randbelow(10**6)
    if options.short:
        plan = Plan(seconds=8.0, seed=seed, storm=6.0, calm=2.0, workers=3, flat=False)
    else:
        plan = Plan(seconds=options.minutes * 60, seed=seed, workers=options.workers)
    print(f"seed {seed}, {plan.seconds:g} seconds", flush=True)
    tally = trio.run(soak, plan, lambda line: print(line, file=sys.stderr, flush=True))
    print(tally.text())
    if options.short and (tally.faults.total() <= 10 or sum(calls["ok"] for calls in tally.calls.values()) <= 50):
        print("too few faults or calls to show anything")
        return 1
    return 1 if tally.failures else 0


if __name__ == "__main__":
    sys.exit(main())
