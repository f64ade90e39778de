"""The API as a notebook or an agent asks it: methods that answer Arrow tables, and refusals that are exceptions.

Does not belong here: anything that reads a home, or that only this project's own programs need. It imports httpx,
tenacity and pyarrow, and nothing heavier: `pip install ".[client]"` brings all that it needs.
"""

from aerocast.client.client import Client
from aerocast.client.errors import ClientError, NoAnswer, RequestRefusal
from aerocast.client.observing import Acceptance
from aerocast.client.stream import ServerEvent

__all__ = ["Acceptance", "Client", "ClientError", "NoAnswer", "RequestRefusal", "ServerEvent"]
