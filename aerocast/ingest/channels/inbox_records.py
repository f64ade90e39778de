"""Parses what lies beside a file of the inbox: a manifest of when it is complete, a reason why it was rejected."""

from __future__ import annotations

from datetime import datetime

import msgspec

from aerocast.ingest.channels.definition import ReadingError


class InboxManifest(msgspec.Struct, frozen=True):
    """What a file must be to be complete."""

    sha256: str
    rows: int | None = None
    bytes: int | None = None


class Rejection(msgspec.Struct, frozen=True):
    """Why a file was rejected, and when."""

    file: str
    detail: str
    field: str
    value: str
    rule: str
    rejected_at: datetime


def parse_manifest(data: bytes) -> InboxManifest:
    try:
        return msgspec.json.decode(data, type=InboxManifest)
    except msgspec.DecodeError as error:
        raise ReadingError("manifest", data[:200], f'{{"sha256": "...", "rows": 1}} ({error})') from error


def parse_rejection(data: bytes) -> Rejection | None:
    try:
        return msgspec.json.decode(data, type=Rejection)
    except msgspec.DecodeError:
        return None
