"""The demo's report as text."""

from __future__ import annotations

import statistics

import trio_h2ws

from ..stdout import Output, visible
from ..text import milliseconds, without_login
from .report import Report


def render(report: Report, out: Output) -> str:
    whose = "" if report.tcp_connections is None else "local server, "
    lines = [
        f"{out.bold('trio_h2ws')} {trio_h2ws.__version__} demo: {whose}{visible(without_login(report.plan.url))}",
        "",
    ]
    if report.outcome.streams:
        rows = _rows(report)
        width = max(len(value) for _, value, _ in rows)
        lines += [f"  {name:<12}{out.bold(value.rjust(width + 1))}   {out.dim(note)}" for name, value, note in rows]
        lines += ["", *_echoes(report, out)]
    lines += [f"  {out.style('33', 'note:')} {visible(note)}" for note in report.notes]
    lines += [f"  {out.bad('problem:')} {visible(problem)}" for problem in report.problems]
    if report.ok:
        rest = " else" if report.notes else ""
        lines.append(out.good(f"  Everything{rest} worked, on one connection."))
    return "\n".join(lines) + "\n"


def _rows(report: Report) -> list[tuple[str, str, str]]:
    plan, outcome, connections = report.plan, report.outcome, report.connections
    note = ", ".join(sorted({connection.protocol for connection in connections}))
    if report.tcp_connections is not None and report.tls_handshakes is not None:
        tcp, tls = _many(report.tcp_connections, "TCP connection"), _many(report.tls_handshakes, "TLS handshake")
        note += f"; the server counted {tcp}, {tls}"
    rows = [("connections", str(len(connections)), note)]
    at_once = f"up to {outcome.streams_at_once} at once, {outcome.streams_allowed} allowed by the server"
    rows.append(("streams", str(outcome.streams), at_once))
    if plan.download:
        others = max(outcome.open_seconds or 0, outcome.request_seconds or 0)
        beside = "; meanwhile:" if 0 < others <= (outcome.download_seconds or 0) else ""
        rows.append(("download", amount(outcome.downloaded), _within(outcome.download_seconds) + beside))
    if plan.websockets:
        note = f"opened {_within(outcome.open_seconds)}, {outcome.closed} closed cleanly at the end"
        rows.append(("WebSockets", _of(outcome.opened, plan.websockets), note))
    if plan.requests:
        note = f"answered {_within(outcome.request_seconds)}"
        rows.append(("requests", _of(outcome.answered, plan.requests), note))
    rows.append(("time", _time(outcome.work_seconds), "for all of the above together"))
    received = amount(sum(connection.bytes_in for connection in connections))
    sent = amount(sum(connection.bytes_out for connection in connections))
    rows.append(("received", received, f"and {sent} sent, in the whole demo"))
    return rows


def _echoes(report: Report, out: Output) -> list[str]:
    rows = [
        ("while the download ran", report.outcome.echoes_with_download),
        ("without it", report.outcome.echoes_alone),
    ]
    lines = [
        f"    {name:<24}{out.bold(f'{milliseconds(statistics.median(waits)):>10}{milliseconds(max(waits)):>11}')}"
        f"{out.dim(f'{len(waits):>8}')}"
        for name, waits in rows
        if waits
    ]
    if lines:
        head = out.dim(f"{'median':>10}{'slowest':>11}{'echoes':>8}")
        lines = [f"  {'time of an echo':<26}{head}", *lines, ""]
    return lines


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f} s"


def _of(number: int, asked: int) -> str:
    return str(number) if number == asked else f"{number} of {asked}"


def _within(seconds: float | None) -> str:
    return "not finished" if seconds is None else f"within {_time(seconds)}"


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def amount(size: int) -> str:
    """Bytes for a person: `10.0 MB`."""
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} B" if unit == "B" else f"{value:.{1 if value < 99.95 else 0}f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"
