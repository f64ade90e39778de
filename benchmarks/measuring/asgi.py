"""The server's application as any HTTP server takes it: `app`, on the home in AEROCAST_HOME."""

import os
from pathlib import Path

from serving.app import create_app
from serving.heads import answering_head

app = answering_head(create_app(Path(os.environ["AEROCAST_HOME"]), log_seconds=None))
