"""The process of one client: runs one workload once, and prints one line of JSON.

    python -m tests.benchmarks.worker '{"client": "ours", "load": "requests", "setting": {…}, "options": {…}, …}'

With "profile": FILE in that JSON the measured part runs under cProfile, which writes its statistics to FILE.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import sys
from typing import Any

from . import meter
from .clients import CLIENTS
from .goals import FLOOR
from .kits.kit import Setting
from .servers.site import Site


def work(client: str, load: str, setting: Setting, options: dict[str, Any], site: Site) -> dict[str, float]:
    if client == FLOOR:
        numbers: dict[str, float] = importlib.import_module("tests.benchmarks.floors").FLOORS[load](**options)
        return numbers
    from .loads import LOADS

    kit = importlib.import_module(f"tests.benchmarks.kits.{CLIENTS[client].kit}").Kit(setting)

    async def main() -> dict[str, float]:
        return await LOADS[load](kit, site, **options)

    numbers = kit.run(main)
    return numbers


def main() -> None:
    order = json.loads(sys.argv[1])
    arguments = (order["client"], order["load"], Setting(**order["setting"]), order["options"], Site(**order["site"]))
    numbers: dict[str, float] | dict[str, str]
    try:
        if order.get("profile"):
            meter.profiler = cProfile.Profile()
        numbers = work(*arguments)
        if meter.profiler is not None:
            meter.profiler.dump_stats(order["profile"])
    except ImportError as error:
        numbers = {"missing": str(error)}
    print(json.dumps(numbers), flush=True)
    meter.end_at_once()


if __name__ == "__main__":
    main()
