"""An object store: moto's server over HTTP, and a bucket for each test that needs one."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aerocast.storage.home import ObjectHome

# In a process of its own: some of deltalake's requests hold this one's interpreter while they wait for an answer.
_SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(*server.get_host_and_port(), sep=":", flush=True)
sys.stdin.read()
"""


@contextmanager
def object_store(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run an object store whose address and credentials are in the environment while the block lasts."""
    command = [sys.executable, "-c", _SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        address = server.stdout.readline().strip()
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{address}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }.items():
            patch.setenv(name, value)
        try:
            yield
        finally:
            server.kill()


def new_home(work: Path, prefix: str = "home") -> ObjectHome:
    """A home in a new bucket."""
    import boto3

    bucket = f"bucket-{uuid.uuid4().hex[:8]}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    return ObjectHome(f"s3://{bucket}/{prefix}", work)
