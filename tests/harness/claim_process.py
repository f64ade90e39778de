"""Takes claims until it dies by `kill -9`: python -m tests.harness.claim_process WHERE URL HOME DECLARATION TOPIC.

WHERE is `consumed` (before the table's commit) or `appended` (between it and the broker's).
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from aerocast.feed.declaration import Feed
from aerocast.ingest.brokers import base, connect
from aerocast.ingest.channels import claims
from aerocast.ingest.channels.claim_objects import ClaimPrefixes
from tests.factories.claims import lookup_of


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main(where: str, url: str, home: str, declaration: str, topic: str) -> None:
    feed = Feed.model_validate_json(Path(declaration).read_bytes())
    with connect(url) as broker:
        owner: Any = {"consumed": claims.Lake, "appended": type(broker)}[where]
        setattr(owner, {"consumed": "amend", "appended": "commit"}[where], die)
        prefixes = ClaimPrefixes.of(Path(home), str(Path(declaration).parent))
        claims.take_claims(broker, Path(home), lookup_of(feed), [topic], base.PATIENCE, prefixes=prefixes)


if __name__ == "__main__":
    main(*sys.argv[1:])
