"""Assertions about the problem documents of the server."""

from typing import Any

import httpx


def problem_of(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    """The problem document of a refusal, which has a title and a short detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"urn:aerocast:problem:{slug}"
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    assert len(answer.content) < 2000
    return problem


def assert_problem(
    answer: httpx.Response, status: int, slug: str, field: str | None, index: int | None
) -> dict[str, Any]:
    """Assert that the refusal names this field, its position and the rule."""
    problem = problem_of(answer, status, slug)
    assert (problem.get("field"), problem.get("index")) == (field, index)
    assert problem["rule"] if field else problem["detail"]
    return problem
