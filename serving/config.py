"""What the server reads of the environment: the platform's settings, and how often it looks for news."""

from pydantic import Field

from aerocast.settings import Settings


class ServerSettings(Settings):
    """`AEROCAST_POLL_SECONDS`: how often releases and tails are looked up; `AEROCAST_HOME` as everywhere."""

    poll_seconds: float = Field(default=1.0, gt=0, le=3600)
