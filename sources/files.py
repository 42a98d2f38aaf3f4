"""Prices from CSV, Excel and Parquet files: one symbol, a panel, or a folder of such files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from forecasting.errors import PricesFileError, SettingError
from sources import tables
from sources.base import Fetched
from sources.factors import read_factors
from sources.form import Form, takes_form
from sources.price_tables import Loaded, load_tables


@takes_form
class FilesSource:
    """Prices from ``path``, a CSV (also .gz), Excel or Parquet file or a folder of them; read once per instance.

    ``factors``: a factor file in Lean's form, or a folder of them, whose actions go with prices as traded. The other
    options say what columns, dates and numbers mean; see ``sources.form.Form``. Of several files in a folder that hold the
    same session, the last by name counts.

    Rows that cannot be read are in ``Fetched.rejects``; a file that cannot be read raises PricesFileError.
    """

    name = "files"

    def __init__(self, path: str | Path, factors: str | Path | None = None, **form: Any) -> None:
        self.path = Path(path).expanduser()
        self._factors = None if factors is None else Path(factors).expanduser()
        self._form = Form.of(self.name, form)

    def symbols(self) -> tuple[str, ...]:
        return self._loaded.names

    def identity(self) -> str:
        """'files:' and the SHA-256 of the content (of a folder: of all names and contents) and of the options."""
        digest = hashlib.sha256()
        files = self._files()
        for path in files:
            content = hashlib.sha256(tables.read_bytes(path)).hexdigest()
            digest.update((content if len(files) == 1 else f"{path.name} {content}\n").encode())
        if self._factors is not None:
            digest.update(self._actions().to_csv(index=False).encode())
        digest.update(json.dumps(self._form.content(), sort_keys=True).encode())
        return f"files:{digest.hexdigest()}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        return self._loaded.fetch(self.name, symbols, start, end)

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        found = sorted(p for p in self.path.iterdir() if p.is_file() and p.name.lower().endswith(tables.SUFFIXES))
        if not found:
            raise PricesFileError(
                str(self.path), "the folder holds no price file", "put .csv, .csv.gz, .xlsx or .parquet files into it"
            )
        if self._form.symbol is not None and len(found) > 1:
            raise SettingError("files.symbol", self._form.symbol, "no symbol for a folder of several files")
        return found

    @cached_property
    def _loaded(self) -> Loaded:
        raws = (tables.read_table(path) for path in self._files())
        return load_tables(raws, self._form, str(self.path), None if self._factors is None else self._actions())

    def _actions(self) -> Any:
        return read_factors(self._factors, self._form.symbol)
