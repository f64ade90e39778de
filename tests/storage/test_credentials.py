"""An object store that checks who asks: the usual places of credentials open it, for documents and for tables alike."""

import json
import os
import shlex
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import duckdb
import httpx
import pyarrow as pa
import pytest

from aerocast.common.errors import AeroCastError
from aerocast.lake import Lake
from aerocast.storage import credentials
from aerocast.storage.home import ObjectHome, store_of

SLOW = ("role", "process")
ALL = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})


class Account(dict[str, str]):
    """Keys of a user who may do everything, as a container's agent answers them, and a role that the user may take."""


@pytest.fixture(scope="module")
def account(objects: None) -> Account:
    """The object store refuses strangers while this lasts."""
    import boto3

    iam = boto3.client("iam", region_name="us-east-1")
    iam.create_user(UserName="worker")
    key = iam.create_access_key(UserName="worker")["AccessKey"]
    iam.put_user_policy(UserName="worker", PolicyName="all", PolicyDocument=ALL)
    role = iam.create_role(RoleName="role", AssumeRolePolicyDocument=ALL)["Role"]["Arn"]
    iam.put_role_policy(RoleName="role", PolicyName="all", PolicyDocument=ALL)
    return Account(AccessKeyId=key["AccessKeyId"], SecretAccessKey=key["SecretAccessKey"], RoleArn=role)


@pytest.fixture
def guarded(bucket: ObjectHome, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for AWS files; the environment holds no keys, and the store asks for them."""
    address = os.environ["AWS_ENDPOINT_URL"]
    for name, _ in credentials.variables():
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text(
        f"[plain]\naws_access_key_id={account['AccessKeyId']}\naws_secret_access_key={account['SecretAccessKey']}\n"
        "[wrong]\naws_access_key_id=nobody\naws_secret_access_key=nothing\n"
    )
    place = f"region=us-east-1\nendpoint_url={address}\n"
    role = f"[profile role]\nrole_arn={account['RoleArn']}\nsource_profile=plain\n{place}"
    program = tmp_path / "program.py"
    program.write_text(f"print('''{json.dumps({'Version': 1, **account})}''')")
    process = f"[profile process]\ncredential_process={shlex.join([sys.executable, str(program)])}\n{place}"
    (folder / "config").write_text(f"[profile plain]\n{place}{role}{process}[profile wrong]\n{place}")
    _guard(address, "0")
    yield folder
    _guard(address, "inf")


def _guard(address: str, after: str) -> None:
    """The store asks for valid keys after so many requests."""
    answer = httpx.post(f"{address}/moto-api/reset-auth", content=after, headers={"Content-Type": "text/plain"})
    answer.raise_for_status()


def use(home: ObjectHome) -> None:
    """Documents through obstore, tables through deltalake, their files through DuckDB."""
    store_of(home).replace("document", b"1")
    assert store_of(home).read("document") == b"1"
    lake, time = Lake(home), datetime(2024, 1, 1, tzinfo=UTC)
    lake.append("f/raw", pa.table({"time": [time], "value": [1.5], "month": ["2024-01"]}), "segment")
    assert Lake(home).tables() == ["f/raw"]
    with duckdb.connect() as con:
        assert lake.relation(con, "f/raw").select("value").fetchall() == [(1.5,)]


@pytest.mark.parametrize("profile", ["plain", *(pytest.param(name, marks=pytest.mark.e2e) for name in SLOW)])
def test_profile_opens_store(guarded: Path, bucket: ObjectHome, profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", profile)
    use(bucket)


@pytest.mark.e2e
def test_container_agent_gives_credentials(guarded: Path, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    class Agent(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({**account, "Token": "token", "Expiration": "2099-01-01T00:00:00Z"}).encode())

        def log_message(self, *_: object) -> None: ...

    (guarded / "credentials").unlink()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address(guarded))
    with HTTPServer(("127.0.0.1", 0), Agent) as agent:
        Thread(target=agent.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{agent.server_port}/keys")
        found = credentials.options()
        agent.shutdown()
    assert found is not None
    assert (found["AWS_ACCESS_KEY_ID"], found["AWS_SESSION_TOKEN"]) == (account["AccessKeyId"], "token")


@pytest.mark.e2e
def test_web_identity_gives_keys_of_its_role(guarded: Path, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of these tests knows no such keys, so what is asked for is looked at."""
    _guard(address(guarded), "inf")
    (guarded / "token").write_text("token")
    (guarded / "credentials").unlink()
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", address(guarded))
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(guarded / "token"))
    monkeypatch.setenv("AWS_ROLE_ARN", account["RoleArn"])
    found = credentials.options()
    assert found is not None
    assert found["AWS_SESSION_TOKEN"]
    assert found["AWS_ACCESS_KEY_ID"] != account["AccessKeyId"]


@pytest.mark.parametrize(
    ("profile", "says"),
    [
        ("wrong", "could not be written: .*InvalidAccessKeyId"),
        ("unknown", r"no credentials for the object store: .*\(unknown\)"),
    ],
)
def test_wrong_credentials_raise_one_sentence(
    guarded: Path, bucket: ObjectHome, profile: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", profile)
    with pytest.raises(AeroCastError, match=says) as caught:
        store_of(bucket).replace("document", b"1")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.e2e
def test_changed_keys_are_read_again(guarded: Path, bucket: ObjectHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "wrong")
    with pytest.raises(AeroCastError):
        use(bucket)
    file = guarded / "credentials"
    file.write_text(file.read_text().replace("[wrong]", "[old]").replace("[plain]", "[wrong]"))
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    use(bucket)


def address(folder: Path) -> str:
    return next(line.partition("=")[2] for line in (folder / "config").read_text().splitlines() if "endpoint" in line)
