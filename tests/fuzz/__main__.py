"""python -m tests.fuzz: see the package's docstring."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
import traceback
from collections import Counter

from .fuzzers import FUZZERS


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long, for all together (60)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="of the first case (random)")
    parser.add_argument("--cases", type=int, default=None, metavar="N", help="of each, in place of --seconds")
    parser.add_argument("--only", choices=sorted(FUZZERS), default=None, help="one of them")
    return parser.parse_args()


def main() -> int:
    options = _options()
    first = options.seed if options.seed is not None else secrets.randbelow(2**32)
    names = [options.only] if options.only else sorted(FUZZERS)
    print(f"seed {first}", flush=True)
    end = time.monotonic() + options.seconds
    done: Counter[str] = Counter()
    failures = 0
    seed = first
    while time.monotonic() < end if options.cases is None else seed < first + options.cases:
        for name in names:
            done[name] += 1
            try:
                FUZZERS[name](seed)
            except Exception:
                failures += 1
                print(f"\n{name} failed: repeat it with --only {name} --seed {seed} --cases 1", flush=True)
                traceback.print_exc(limit=-12)
        seed += 1
    for name in names:
        print(f"{name:>12}: {done[name]:,} cases, seeds {first} to {first + done[name] - 1}")
    print(f"{failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
