"""`cio-fdw simulate`: the options, and starting the server.

    add_parser(subparsers)      for the command line of cio_fdw
    main(["--port", "0"])       for python -m cio_fdw.simulator

Exit code 1 when the address is taken.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any, Callable

KEY_VARIABLE = "CIO_APP_API_KEY"
DEFAULT_KEY = "demo-key"
DEFAULT_PORT = 8765
ORDERS = ("newest", "oldest", "shuffled")


def add_parser(subparsers: Any) -> None:
    """Adds the command `simulate`, whose `run` takes the parsed arguments and returns the exit code."""
    text = "Serve a truthful simulator of the Customer.io App API."
    parser = subparsers.add_parser("simulate", help=text, description=text)
    _add_options(parser)
    parser.set_defaults(run=run)


def main(argv: Sequence[str]) -> int:
    """Runs the simulator from its own command line."""
    parser = argparse.ArgumentParser(prog="python -m cio_fdw.simulator", description=__doc__)
    _add_options(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Serves until told to stop. Needs the packages of the simulator: uvicorn, httptools, starlette, orjson."""
    # Imported here, so that the other commands do not need the server's packages.
    from cio_fdw.simulator.server import Settings, serve

    return serve(
        Settings(
            messages=args.messages,
            campaigns=args.campaigns,
            latency_ms=args.latency_ms,
            rate_per_s=args.rate,
            seed=args.seed,
            host=args.host,
            port=args.port,
            key=args.key or os.environ.get(KEY_VARIABLE) or DEFAULT_KEY,
            now_s=int(time.time()) if args.now is None else args.now,
            order=args.order,
            live_per_minute=args.live_per_minute,
            use_gzip=args.gzip,
            until_stdin_closes=args.until_stdin_closes,
        )
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    whole, real = _at_least(int), _at_least(float)
    parser.add_argument("--messages", type=whole, default=20000, metavar="N", help="messages of history (20000)")
    parser.add_argument("--campaigns", type=whole, default=40, metavar="N", help="campaigns (40)")
    parser.add_argument("--latency-ms", type=real, default=0.0, metavar="MS", help="added to each answer (0)")
    parser.add_argument("--rate", type=whole, default=10, metavar="N", help="requests in any second; 0: no limit (10)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="another seed, other data (1)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=whole, default=DEFAULT_PORT, help=f"0: a free one ({DEFAULT_PORT})")
    parser.add_argument("--key", help=f"App API key that is asked for (${KEY_VARIABLE}, else {DEFAULT_KEY})")
    parser.add_argument("--now", type=whole, metavar="EPOCH_S", help="end of the history, unix seconds (the real time)")
    parser.add_argument("--order", choices=ORDERS, default="newest", help="order of messages (newest)")
    parser.add_argument("--live-per-minute", type=real, default=0.0, metavar="X", help="new messages while it runs (0)")
    parser.add_argument("--gzip", action="store_true", help="compress bodies over 1 KB for clients that accept it")
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when standard input ends")


def _at_least(number: Callable[[str], float]) -> Callable[[str], float]:
    """A reader of a number that is not negative."""

    def read(text: str) -> float:
        value = number(text)
        if value < 0:
            raise argparse.ArgumentTypeError("must not be negative")
        return value

    return read
