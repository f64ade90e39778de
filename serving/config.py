"""What the server reads of the environment: the platform's settings and its own."""

from pydantic import Field, ValidationError

from aerocast.errors import AeroCastError
from aerocast.settings import Settings


class ServerSettings(Settings):
    """`AEROCAST_HOME` as everywhere.

    `AEROCAST_POLL_SECONDS`: how often the disk is looked at for news; `AEROCAST_LOG_SECONDS`: how old a segment of the
    prediction log gets before evaluation may have it; `AEROCAST_LOG=false`: no answer is logged, for a server that only
    tries a release out; `AEROCAST_TOKEN`: what writers must send (see access); `AEROCAST_MOST_WAITING`: how many
    readings of a feed may wait on the disk for the platform before clients are asked to come back later.
    """

    poll_seconds: float = Field(default=1.0, gt=0, le=3600)
    log_seconds: float = Field(default=10.0, gt=0, le=3600)
    log: bool = True
    token: str = ""
    most_waiting: int = Field(default=5_000_000, ge=1)


def read_settings() -> ServerSettings:
    """The settings of this process. Raises AeroCastError that names the variable, its value and the rule."""
    try:
        return ServerSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "AEROCAST_" + "_".join(str(part) for part in first["loc"]).upper()
        raise AeroCastError(f"{name}={first['input']!r} is not allowed: {first['msg']}") from None
