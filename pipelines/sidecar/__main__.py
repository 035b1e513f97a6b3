"""`python -m pipelines.sidecar`: serve, or manage the keys.

python -m pipelines.sidecar [--host 127.0.0.1]
python -m pipelines.sidecar keys add NAME --scopes read,export [--days 90]
python -m pipelines.sidecar keys list
python -m pipelines.sidecar keys revoke NAME
"""

import argparse
import sys
from collections.abc import Sequence

from pipelines.core.errors import PlatformError, SettingsError
from pipelines.core.settings import Settings, load_settings
from pipelines.sidecar.keys import DEFAULT_DAYS, SCOPES, create_key, list_keys, revoke_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0, or 1 with one line on standard error."""
    asked = _parser().parse_args(arguments)
    try:
        settings = load_settings()
        if asked.command == "keys":
            _keys(settings, asked)
        else:
            from pipelines.sidecar.server import serve

            serve(settings, host=asked.host)
    except PlatformError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.sidecar", description="Read API, exports, live pings.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", metavar="keys")
    keys = commands.add_parser("keys", help="make, list and revoke API keys").add_subparsers(
        dest="action", required=True
    )
    add = keys.add_parser("add", help="make a key and print it once")
    add.add_argument("name", help="who or what uses it; shown in the audit trail")
    add.add_argument("--scopes", default="read", help=f"comma-separated: {', '.join(SCOPES)} (default: %(default)s)")
    add.add_argument("--days", type=int, default=DEFAULT_DAYS, help="days until it expires (default: %(default)s)")
    keys.add_parser("list", help="show names, scopes and expiry")
    keys.add_parser("revoke", help="make a key worthless at once").add_argument("name")
    return parser


def _keys(settings: Settings, asked: argparse.Namespace) -> None:
    if asked.action == "add":
        scopes = [word.strip() for word in asked.scopes.split(",") if word.strip()]
        _say(create_key(settings, name=asked.name, scopes=scopes, days=asked.days))
    elif asked.action == "revoke":
        if not revoke_key(settings, asked.name):
            raise SettingsError(f"There is no API key named {asked.name}.", fix="`keys list` shows the names")
    else:
        for key in list_keys(settings):
            _say(f"{key.name}\t{','.join(key.scopes)}\texpires {key.expires_at.isoformat()}")


def _say(line: str) -> None:
    print(line)  # noqa: T201 - this is a command


if __name__ == "__main__":
    sys.exit(main())
