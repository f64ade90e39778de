"""A drift state as JSON for people and programs."""

from __future__ import annotations

from typing import Any

import msgspec

from aerocast.drift.state import DriftState


def report(state: DriftState) -> dict[str, Any]:
    """JSON-able: verdicts, evidence, faults and heat."""
    found: dict[str, Any] = msgspec.to_builtins(state)
    return found
