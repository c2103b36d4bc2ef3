"""The command line `cio-fdw`. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Optional

from cio_fdw import __version__, listing
from cio_fdw.server.errors import ServerError

DEFAULT_KEY_ENV = "CIO_APP_API_KEY"
USAGE_ERROR = 2
MAX_PORT = 65535
SIMULATOR_NEEDS = ("uvicorn", "httptools", "starlette", "orjson")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The exit code of one command: 0 done, 1 failed, 2 called wrongly."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser(with_simulator=words[:1] == ["simulate"]).parse_args(words)
    try:
        code: int = arguments.run(arguments)
    except ServerError as error:
        print(f"cio-fdw: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader of stdout has gone (`cio-fdw demo | head`): point stdout elsewhere, so that the exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _parser(*, with_simulator: bool) -> argparse.ArgumentParser:
    """`with_simulator`: whether to import the simulator, an extra that is slow to import, for its options."""
    parser = argparse.ArgumentParser(prog="cio-fdw", description="Customer.io in SQL.")
    parser.add_argument("--version", action="version", version=f"cio-fdw {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_up(commands)
    _add_demo(commands)
    _add_install_host(commands)
    _add_uninstall_host(commands)
    _add_doctor(commands)
    _add_simulate(commands, really=with_simulator)
    listing.add_parsers(commands)
    return parser


def _add_up(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "up",
        help="start an embedded PostgreSQL with the tables in it",
        description="Starts an embedded PostgreSQL with the schema customerio in it, prints `ready: URL`, and runs "
        "until Ctrl-C. The App API key is read from the environment.",
    )
    parser.add_argument("--data-dir", type=Path, help="keep the database here (default: a temporary one)")
    parser.add_argument("--port", type=_port, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--region", choices=("us", "eu"), help="region of the workspace (default: us)")
    where.add_argument("--base-url", metavar="URL", help="root of the API, instead of a region")
    parser.add_argument(
        "--api-key-env",
        metavar="NAME",
        default=DEFAULT_KEY_ENV,
        help="environment variable that holds the App API key (default: %(default)s)",
    )
    parser.set_defaults(run=_run_up)


def _run_up(arguments: argparse.Namespace) -> int:
    from cio_fdw.server.up import key_from_environment, up

    key = key_from_environment(arguments.api_key_env)
    options = {"base_url": arguments.base_url} if arguments.base_url else {"region": arguments.region or "us"}
    return up(server_options=options, key=key, data_dir=arguments.data_dir, port=arguments.port)


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("demo", help="query a simulated workspace, and show the requests behind each query")
    parser.set_defaults(run=_run_demo)


def _run_demo(_arguments: argparse.Namespace) -> int:
    from cio_fdw.demo import demo

    return demo()


def _add_install_host(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "install",
        aliases=["install-host"],
        help="build the extension and install it into a PostgreSQL",
        description="Builds the extension for this interpreter and installs it into the PostgreSQL of PG_CONFIG.",
    )
    parser.add_argument("--pg-config", type=Path, required=True, metavar="PATH", help="pg_config of the server")
    parser.set_defaults(run=_run_install_host)


def _run_install_host(arguments: argparse.Namespace) -> int:
    from cio_fdw.server.build import build_and_install
    from cio_fdw.server.postgres import installation
    from cio_fdw.server.up import build_dir_for, interpreter

    python = interpreter()
    build_and_install(arguments.pg_config, python, build_dir_for(python, arguments.pg_config))
    server = installation(arguments.pg_config)
    print(f"installed into PostgreSQL {server.version}: {server.library}")
    print("next, in each database: CREATE EXTENSION cio_fdw;   (of an older one: ALTER EXTENSION cio_fdw UPDATE;)")
    return 0


def _add_uninstall_host(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "uninstall", aliases=["uninstall-host"], help="remove the extension's files from a PostgreSQL"
    )
    parser.add_argument("--pg-config", type=Path, required=True, metavar="PATH", help="pg_config of the server")
    parser.set_defaults(run=_run_uninstall_host)


def _run_uninstall_host(arguments: argparse.Namespace) -> int:
    from cio_fdw.server.build import uninstall

    removed = uninstall(arguments.pg_config)
    for path in removed:
        print(f"removed {path}")
    if not removed:
        print(f"nothing of cio_fdw is installed in the PostgreSQL of {arguments.pg_config}")
    return 0


def _add_doctor(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "doctor",
        help="find out what keeps queries from working",
        description="Checks versions, options, key, region, reachability, clock and state directory of a database, and "
        "prints what to do. Sends two requests, changes nothing, and does not print the key.",
    )
    parser.add_argument("dsn", metavar="DSN", help="address of the database: postgresql://… or key=value pairs")
    parser.add_argument("--server", metavar="NAME", help="foreign server, when there are several")
    parser.add_argument(
        "--api-key-env",
        metavar="NAME",
        default=DEFAULT_KEY_ENV,
        help="environment variable with the key, when the user mapping cannot be read (default: %(default)s)",
    )
    parser.set_defaults(run=_run_doctor)


def _run_doctor(arguments: argparse.Namespace) -> int:
    from cio_fdw.server.doctor import doctor

    return doctor(arguments.dsn, arguments.server, arguments.api_key_env)


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser], *, really: bool) -> None:
    if really and all(find_spec(name) is not None for name in SIMULATOR_NEEDS):
        from cio_fdw.simulator.command import add_parser

        add_parser(commands)
        return
    parser = commands.add_parser("simulate", help="run a simulated App API (needs cio_fdw[simulator])")
    parser.set_defaults(run=_simulator_missing)


def _simulator_missing(_arguments: argparse.Namespace) -> int:
    raise ServerError("the simulator is not installed: pip install 'cio_fdw[simulator]'")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > MAX_PORT:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_PORT}")
    return int(text)
