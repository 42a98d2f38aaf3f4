"""What a source sent, before anything was done to it: Parquet files named by their SHA-256."""

from __future__ import annotations

import hashlib
import io
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import StorageError
from storage.home import Home, write_durably

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Landed:
    digest: str
    path: Path
    rows: int


def save_landing(home: Home, frame: pd.DataFrame) -> Landed:
    """Keep the frame as ``landing/<sha256>.parquet``; the same content is the same file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), buffer, compression="zstd")
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    home.landing.mkdir(parents=True, exist_ok=True)
    path = home.landing / f"{digest}.parquet"
    if landing_problem(path) is not None:  # not there, or damaged since
        write_durably(path, data)
    else:
        os.utime(path)  # as new: its age counts from when it came last
    return Landed(digest, path, len(frame))


def landing_files(home: Home) -> list[Path]:
    """The files that were landed, by name; what else lies there is not ours."""
    return sorted(path for path in home.landing.glob("*.parquet") if re.fullmatch("[0-9a-f]{64}", path.stem))


def prune_landing(home: Home, before: datetime) -> list[Path]:
    """Remove the landing files that came last before that instant; those removed, by name. All that was taken from them is in
    the database, and backups keep copies of their own."""
    gone = []
    for path in landing_files(home):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                gone.append(path)
    return gone


def landing_problem(path: Path) -> str | None:
    """One line on what is wrong with a landing file, None where it is what its name says."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == path.stem else "was changed since it was written"


def load_landing(home: Home, digest: str) -> pd.DataFrame:
    """The frame kept under ``digest``; StorageError where the file is missing or is not what its name says."""
    import pyarrow.parquet as pq

    path = home.landing / f"{digest}.parquet"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(f"landing file {path} cannot be read ({error.strerror}); ingest the span again") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise StorageError(f"landing file {path} was changed since it was written; ingest the span again")
    return pq.read_table(io.BytesIO(data)).to_pandas()
