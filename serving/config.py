"""What the server reads of the environment: the platform's settings and its own."""

from pydantic import Field, ValidationError

from aerocast.common.errors import AeroCastError
from aerocast.storage.settings import Settings


class ServerSettings(Settings):
    """`AEROCAST_HOME` as everywhere.

    `AEROCAST_POLL_SECONDS`: how often the disk is looked at for news; `AEROCAST_LOG_SECONDS`: how old a segment of the
    prediction log gets before evaluation may have it; `AEROCAST_LOG=false`: no answer is logged, for a server that only
    tries a release out, tells nobody anything and is not missed; `AEROCAST_TOKEN`: one more token, of scope admin;
    `AEROCAST_MOST_WAITING`: how many readings of a feed may wait on the disk for the platform before clients are asked
    to come back later.

    What a client may leave undone (see `connections`): `AEROCAST_MOST_CONNECTIONS` that are open at once, as far as the
    system lets so many files be open; above it the one idle for longest is closed. `AEROCAST_KEEP_ALIVE_SECONDS` of
    idleness, more than the 60 s after which proxies let go, for else they would send into a closed connection.
    `AEROCAST_HEAD_SECONDS` and `AEROCAST_HEAD_BYTES` for address and header fields. `AEROCAST_STALL_SECONDS` without a
    byte of a body, or of an answer that is read; and after 30 s of either `AEROCAST_LEAST_RATE` bytes a second.
    `AEROCAST_MOST_FORECASTS`: requests that may wait before `/predict`, and as many before `/explain`, answer 429.
    `AEROCAST_MOST_LISTENERS` to `/v1/events`, never more than half of the connections; beyond it 429.

    `AEROCAST_MOST_READS` and `AEROCAST_MOST_WRITES`: requests a minute of one client, by its token or address; 0: any
    number. By default 6,000 of each, and on loopback any number.
    """

    poll_seconds: float = Field(default=1.0, gt=0, le=3600)
    log_seconds: float = Field(default=10.0, gt=0, le=3600)
    log: bool = True
    token: str = ""
    most_waiting: int = Field(default=5_000_000, ge=1)
    most_connections: int = Field(default=4096, ge=1, le=60_000)
    keep_alive_seconds: float = Field(default=75.0, ge=1, le=86_400)
    head_seconds: float = Field(default=10.0, ge=1, le=3600)
    head_bytes: int = Field(default=16 << 10, ge=1 << 10, le=1 << 20)
    stall_seconds: float = Field(default=15.0, ge=1, le=3600)
    least_rate: int = Field(default=4096, ge=1)
    most_forecasts: int = Field(default=64, ge=1)
    most_listeners: int = Field(default=256, ge=1)
    most_reads: int | None = Field(default=None, ge=0)
    most_writes: int | None = Field(default=None, ge=0)


def read_settings() -> ServerSettings:
    """The settings of this process. Raises AeroCastError that names the variable, its value and the rule."""
    try:
        return ServerSettings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "AEROCAST_" + "_".join(str(part) for part in first["loc"]).upper()
        raise AeroCastError(f"{name}={first['input']!r} is not allowed: {first['msg']}") from None
