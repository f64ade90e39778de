"""The tokens of clients of the server: makes, lists and ends them. The server takes a change up without a restart."""

import argparse
import sys
from datetime import UTC, datetime, timedelta

from aerocast.contracts.tokens import SCOPES
from cli.command import Commands, add_command

LONGEST_DAYS = 3650


def add(commands: Commands) -> None:
    about = "tokens by which clients of the server show what they may do"
    parser = commands.add_parser("token", help=about, description=f"{about[0].upper()}{about[1:]}.")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = add_command(actions, "create", _create, "make a token and print its secret, which is kept nowhere")
    new.add_argument("--scope", choices=SCOPES, required=True, help="each allows what those before it allow")
    new.add_argument("--name", default="", help="by which the audit log calls its holder (default: scope and number)")
    new.add_argument("--days", type=_days, help=f"it ends after so many, 1 to {LONGEST_DAYS} (default: it stays)")
    add_command(actions, "list", _list, "names, scopes and ends of the tokens; no secrets", writes=False)
    end = add_command(actions, "revoke", _revoke, "end a token")
    end.add_argument("name", metavar="NAME")


def _days(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= LONGEST_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not 1 to {LONGEST_DAYS}")
    return int(text)


def _create(options: argparse.Namespace) -> int:
    from aerocast.contracts import tokens

    now = datetime.now(UTC).replace(microsecond=0)
    ends = now + timedelta(days=options.days) if options.days else None
    token, secret = tokens.create(options.home, options.scope, now, options.name, ends)
    until = f"until {ends:%Y-%m-%d %H:%M} UTC" if ends else "until it is revoked"
    print(f"{token.name}: scope {token.scope}, {until}. This is shown once:", file=sys.stderr, flush=True)
    print(secret)
    return 0


def _list(options: argparse.Namespace) -> int:
    from aerocast.contracts import tokens

    own, now = tokens.document(options.home).read(), datetime.now(UTC)
    for token in own.tokens if own else ():
        ends = f"{token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "-"
        state = "expired" if token.is_expired(now) else ""
        print(f"{token.name:<40}  {token.scope:<5}  {token.created_at:%Y-%m-%d %H:%M}  {ends:<16}  {state}".rstrip())
    if not own or not own.tokens:
        print("There is no token; `aerocast token create --scope write` makes one.")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from aerocast.contracts import tokens

    rest = tokens.revoke(options.home, options.name)
    print(f"{options.name} has ended; servers that run refuse it as soon as they have looked, about a second from now.")
    if not rest.tokens:
        print("It was the last one: a server on loopback that has no AEROCAST_TOKEN lets everybody there write again.")
    return 0
