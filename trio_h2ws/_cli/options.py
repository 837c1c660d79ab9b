"""The options that commands share, and the types of their values."""

from __future__ import annotations

import argparse
import re
import ssl

from .errors import CommandError

_SIZE = re.compile(r"([0-9][0-9_]*)\s*(?:([kmg])(i?)b?|b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3}


class Parser(argparse.ArgumentParser):
    """argparse prints the usage before an error. Here an error is one line, like all others."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def add_tls(parser: argparse._ActionsContainer) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--cafile", metavar="FILE", help="trust the certificates in FILE (PEM), not the system's")
    group.add_argument("--insecure", action="store_true", help="accept any certificate")


def add_call(parser: argparse.ArgumentParser) -> None:
    """The options of one request or handshake."""
    parser.add_argument(
        "-H", dest="headers", metavar="'NAME: VALUE'", action="append", default=[], type=header,
        help="a header to send; may be repeated",
    )  # fmt: skip
    parser.add_argument("-L", dest="follow", action="store_true", help="follow redirects")
    parser.add_argument("-v", "--verbose", action="store_true", help="report on stderr what happens")
    add_connection(parser)


def add_connection(parser: argparse.ArgumentParser) -> None:
    """The options of a connection."""
    parser.add_argument(
        "--http2", choices=["auto", "require", "never"], default="auto",
        help="auto (the default): HTTP/2 if the origin supports it; require: fail without HTTP/2, and use it for "
        "http:// as well; never: HTTP/1.1",
    )  # fmt: skip
    add_tls(parser)


def header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name:
        missing = "name" if colon else "colon"  # the text itself is not shown: it may be a password
        raise argparse.ArgumentTypeError(f"a header is given as 'NAME: VALUE': there is no {missing}")
    return name, value.strip()


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def size(text: str) -> int:
    """`10MB`, `512k`, `1GiB`, `1000`."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 1000, 64k, 10MB or 1GiB")
    number, unit, binary = match.groups()
    power: int = _POWER[(unit or "").lower()]
    base = 1024 if binary else 1000
    return int(number) * int(base**power)


def with_scheme(url: str, scheme: str) -> str:
    """Add the scheme if the user has left it out."""
    return url if "://" in url else f"{scheme}://{url}"


def ssl_context(args: argparse.Namespace) -> ssl.SSLContext | None:
    """The context for `--cafile` or `--insecure`; None for the library's default, the system's trust store."""
    if args.insecure:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if args.cafile is None:
        return None
    try:
        return ssl.create_default_context(cafile=args.cafile)
    except ssl.SSLError:
        raise CommandError(f"--cafile {args.cafile}: the file contains no PEM certificate") from None
    except OSError as error:
        raise CommandError(f"--cafile {args.cafile}: {error.strerror}") from None
