"""What the server reads of the environment: the platform's settings and its own."""

from pydantic import Field

from aerocast.settings import Settings


class ServerSettings(Settings):
    """`AEROCAST_HOME` as everywhere.

    `AEROCAST_POLL_SECONDS`: how often the disk is looked at for news; `AEROCAST_LOG_SECONDS`: how old a segment of the
    prediction log gets before evaluation may have it; `AEROCAST_TOKEN`: what writers must send (see access).
    """

    poll_seconds: float = Field(default=1.0, gt=0, le=3600)
    log_seconds: float = Field(default=10.0, gt=0, le=3600)
    token: str = ""
