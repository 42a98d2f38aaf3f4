"""Style, scripts and Plotly's script, all from here: nothing is ever loaded from another host."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, HTTPException, Request, Response

FOLDER = Path(__file__).parent / "static"
PLOTLY = "plotly.min.js"
_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def files() -> dict[str, Path]:
    """Name -> file. Plotly's script is found beside its package, which is not imported for it."""
    found = {path.name: path for path in FOLDER.iterdir() if path.suffix in _KINDS}
    package = find_spec("plotly")
    if package is not None and package.origin is not None:
        script = Path(package.origin).parent / "package_data" / PLOTLY
        if script.exists():
            found[PLOTLY] = script
    return found


@cache
def mark(name: str) -> str:
    """Changes with the file; part of its address, so that browsers may keep it for ever."""
    path = files()[name]
    seen = path.stat()
    return hashlib.sha256(f"{path.name}|{seen.st_size}|{seen.st_mtime_ns}".encode()).hexdigest()[:10]


@cache
def _content(name: str, packed: bool) -> bytes:
    data = files()[name].read_bytes()
    return gzip.compress(data, 6) if packed else data


@cache
def style_hashes() -> tuple[str, ...]:
    """Of the style sheets that Plotly's script puts into a page, for the Content-Security-Policy: an empty one, which it fills
    through the CSSOM, and the fixed text of its map library, which is inserted even where there is no map."""
    texts = [""]
    if PLOTLY in files():
        script = files()[PLOTLY].read_text(encoding="utf-8")
        texts += re.findall(r"\.textContent='((?:[^'\\])*)'", script)
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return tuple(f"'sha256-{digest}'" for digest in digests)


def address(name: str) -> str:
    """The address of a file, for templates."""
    return f"/static/{name}?v={mark(name)}"


def static_router() -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{name}")
    def static(name: str, request: Request, v: str = "") -> Response:
        if name not in files():
            raise HTTPException(404, f"there is no file {name[:60]!r}")
        tag = f'"{mark(name)}"'
        headers = {"etag": tag, "vary": "accept-encoding"}
        headers["cache-control"] = "public, max-age=31536000, immutable" if v == mark(name) else "no-cache"
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        packed = "gzip" in request.headers.get("accept-encoding", "").lower()
        if packed:
            headers["content-encoding"] = "gzip"
        return Response(_content(name, packed), media_type=_KINDS[Path(name).suffix], headers=headers)

    @router.get("/favicon.ico")
    def icon(request: Request) -> Response:
        return static("icon.svg", request)

    return router
