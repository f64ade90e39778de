"""What a channel is: a name for people, and a method that sends within a time or says why not."""

from typing import Protocol

from aerocast.alerts.alert import Alert

TIMEOUT = 10.0  # seconds that one step of sending may take


class Channel(Protocol):
    """A way to a person."""

    @property
    def name(self) -> str:
        """`webhook`, `email` or `command`: what is kept of what it was sent goes by this name."""

    def send(self, alert: Alert) -> None:
        """Hands the alert on; the receiver has taken it when this returns. Raises AeroCastError."""
