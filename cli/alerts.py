"""Which alarms are open and by which channels they are told; with `--test` one alert by each channel."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.command import Commands, add_command

if TYPE_CHECKING:
    from aerocast.alerts.channel import Channel
    from aerocast.storage.home import Home


def add(commands: Commands) -> None:
    about = "open alarms and the channels by which people are told; exit status 1 if a test does not arrive"
    parser = add_command(commands, "alerts", _run, about, needs_home=False)
    parser.add_argument("--test", action="store_true", help="send one alert by each channel that is set")


def _run(options: argparse.Namespace) -> int:
    from aerocast.alerts.settings import channels, read_settings
    from cli.home import open_home

    ways = channels(read_settings())
    names = ", ".join(channel.name for channel in ways)
    print(f"Channels: {names or 'none; set AEROCAST_ALERT_WEBHOOK, AEROCAST_ALERT_EMAIL or AEROCAST_ALERT_COMMAND'}")
    if options.test:
        return _test(ways)
    _show(open_home(writes=False))
    return 0


def _test(ways: tuple[Channel, ...]) -> int:
    """Sends by every channel, whatever becomes of the others."""
    from aerocast.alerts.alert import sample_alert
    from aerocast.alerts.settings import url_of
    from aerocast.common.errors import AeroCastError
    from aerocast.storage.settings import Settings

    alert, failures = sample_alert(url_of(Settings()), datetime.now(UTC)), 0
    for channel in ways:
        try:
            channel.send(alert)
        except AeroCastError as error:
            failures += 1
            print(f"{channel.name}: failed: {error}")
        else:
            print(f"{channel.name}: taken, id {alert.id}")
    return int(failures > 0 or not ways)


def _show(home: Home) -> None:
    from aerocast.alerts.dispatcher import trouble_text
    from aerocast.common.times import to_minute
    from aerocast.contracts import alarms

    now, lines = datetime.now(UTC), list[str]()
    for judge in alarms.JUDGES:
        state = alarms.document(home, judge).read() or alarms.AlarmState()
        lines += [trouble_text(name, each, now) for name, each in state.troubles.items()]
        for alarm in state.alarms:
            if alarm.is_open:
                channels = f"told by {', '.join(alarm.began)}" if alarm.began else "told to nobody yet"
                lines.append(f"{to_minute(alarm.opened_at)}  {alarm.condition.sentence} ({channels})")
    print("\n".join(lines) or "No alarm is open.")
