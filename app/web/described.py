"""What the API answers, for its OpenAPI description: columns with their types and meanings, an example, the errors."""

from __future__ import annotations

from typing import Any

from app.web.formats import MEDIA
from app.web.questions import Question, kind_of

_EXAMPLES: dict[str, Any] = {
    "symbol": "AAPL", "origin": "2013-03-01", "session": "2013-03-01", "horizon": 5, "target_session": "2013-03-08",
    "forecaster": "lstm", "mode": "live", "close": 430.47, "q05": 403.35, "q10": 410.53, "q25": 420.74, "q50": 431.68,
    "q75": 442.81, "q90": 454.07, "q95": 461.14, "p_up": 0.527, "scale": 0.023, "settled": True, "close_at_target": 431.72,
    "inside_80": True, "inside_90": True, "direction_hit": True, "run_id": "aaee6e2db19cf9be",
    "model_id": "ecb812cb5187262704a08bfcd1862f4514dfed19ac5fa4740db13f9d8ac7ad61", "issued_at": "2013-03-01T22:30:00Z",
    "p1": 0.2, "p2": 0.2, "p3": 0.2, "p4": 0.2, "p5": 0.2, "verdict": "refused", "severity": "quarantine", "flow": "daily",
    "status": "completed", "source": "yahoo", "calendar": "XNYS", "currency": "USD", "metric": "pinball", "code": "G03",
}  # fmt: skip
_BY_KIND: dict[str, Any] = {
    "date": "2013-03-01", "date-time": "2013-03-01T22:30:00Z", "integer": 1, "number": 0.5, "boolean": False, "string": "text",
}  # fmt: skip

PROBLEM = {
    "type": "object",
    "required": ["detail"],
    "properties": {"detail": {"type": "string"}, "errors": {"type": "array", "items": {"type": "object"}}},
}


def row_schema(question: Question) -> dict[str, Any]:
    """JSON schema of one row."""
    properties = {}
    for column, meaning in question.meanings.items():
        kind = kind_of(question, column)
        typed = {"type": ["string", "null"], "format": kind} if kind.startswith("date") else {"type": [kind, "null"]}
        properties[column] = {**typed, "description": meaning}
    return {"type": "object", "required": list(properties), "additionalProperties": False, "properties": properties}


def example_row(question: Question) -> dict[str, Any]:
    return {
        c: _EXAMPLES[c] if c in _EXAMPLES and kind_of(question, c) != "date-time" else _BY_KIND[kind_of(question, c)]
        for c in question.meanings
    }


def description_of(question: Question, one: bool) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route; ``one``: it names a symbol, of which there may be nothing (404)."""
    row = example_row(question)
    envelope = {
        "edition": "34cbbad705c6b58e", "published_at": "2013-03-01T22:41:07Z", "limit": 1000, "offset": 0, "count": 1,
        "next": None,
    }  # fmt: skip
    schema = {
        "type": "object",
        "required": [*envelope, "rows"],
        "properties": {
            "edition": {"type": "string", "description": "names the published snapshot that this is from"},
            "published_at": {"type": ["string", "null"], "format": "date-time", "description": "UTC instant of that publish"},
            "limit": {"type": "integer"},
            "offset": {"type": "integer"},
            "count": {"type": "integer", "description": "rows in this answer"},
            "next": {"type": ["string", "null"], "description": "address of the rows after these; null where these are all"},
            "rows": {"type": "array", "items": row_schema(question)},
        },
    }
    table = {
        MEDIA["json"]: {"schema": schema, "example": {**envelope, "rows": [row]}},
        "text/csv": {
            "schema": {"type": "string"},
            "example": f"{','.join(row)}\r\n{','.join(str(v) for v in row.values())}\r\n",
        },
        MEDIA["arrow"]: {"schema": {"type": "string", "format": "binary"}},
        MEDIA["parquet"]: {"schema": {"type": "string", "format": "binary"}},
    }
    described = {
        200: {"description": "the rows", "content": table},
        304: {"description": "the same edition as that of If-None-Match or If-Modified-Since"},
        422: problem_schema("a parameter that is unknown, mistyped or out of its bounds"),
        503: problem_schema(
            "no snapshot is published, or it cannot be read; with Retry-After: too much at once, or not counted yet"
        ),
    }
    return described | ({404: problem_schema("nothing of this symbol")} if one else {})


def problem_schema(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": PROBLEM}}}
