"""Prices from a Kaggle dataset: the zip file or folder that was downloaded, or the dataset itself with a token."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

from forecasting.errors import Blocked, Malformed, PricesFileError, SettingError, SourceError
from sources import tables, zip_members
from sources.base import Cost, Fetched
from sources.form import Form, takes_form
from sources.keys import from_environment
from sources.meter import Meter
from sources.price_tables import Loaded, load_tables, price_columns
from sources.raw_table import RawTable
from sources.web import Answer, Web

USER, KEY = "KAGGLE_USERNAME", "KAGGLE_KEY"
_HOSTS = ("www.kaggle.com", "storage.googleapis.com", "*.storage.googleapis.com")


@takes_form
class KaggleSource:
    """Prices from ``path``, a dataset's zip file or folder as downloaded, or from ``dataset`` ('owner/name'), fetched with
    the user name and key in the environment variables KAGGLE_USERNAME and KAGGLE_KEY.

    ``files``: which of the tables in it, as a pattern such as 'stocks/*.csv'; a table without prices among them is passed
    over with a note. ``version`` of the dataset (default: the newest). ``max_bytes`` bounds what it may unpack to.
    ``base_url``: a stand-in server. The other options say what columns, dates and numbers mean; see ``sources.form.Form``.
    """

    name = "kaggle"
    cost = Cost(requests_per_symbol=0.0, seconds_between=1.0)

    def __init__(
        self,
        path: str | Path | None = None,
        dataset: str | None = None,
        files: str = "*",
        version: int | None = None,
        max_bytes: int = 2 << 30,
        timeout_seconds: float = 30.0,
        total_seconds: float = 900.0,
        base_url: str | None = None,
        **form: Any,
    ) -> None:
        if (path is None) == (dataset is None):
            raise SettingError("kaggle.path", path, "either path (a zip file or folder) or dataset ('owner/name')")
        if dataset is not None and not re.fullmatch(r"[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+(?<!/\.)(?<!/\.\.)", dataset):
            raise SettingError("kaggle.dataset", dataset, "'owner/name' as in the address of its page")
        self.path = None if path is None else Path(path).expanduser()
        self._dataset, self._files, self._version = dataset, files, version
        self._max_bytes, self._base_url = max_bytes, base_url
        self._limits = {"timeout_seconds": timeout_seconds, "total_seconds": total_seconds, "max_bytes": max_bytes}
        self._form = Form.of(self.name, form)
        self.meter = Meter(self.cost)

    def symbols(self) -> tuple[str, ...]:
        return self._loaded.names

    def identity(self) -> str:
        """'kaggle:' and the SHA-256 of the names and contents of its tables, and of the options."""
        digest = hashlib.sha256()
        for name, content in self._tables():
            digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        digest.update(json.dumps(self._form.content(), sort_keys=True).encode())
        return f"kaggle:{digest.hexdigest()}"

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        return self._loaded.fetch(self.name, symbols, start, end)

    @property
    def _where(self) -> str:
        return str(self.path) if self.path is not None else f"kaggle {self._dataset}"

    @cached_property
    def _loaded(self) -> Loaded:
        passed: list[str] = []
        loaded = load_tables(self._prices(passed), self._form, self._where)
        return loaded if not passed else loaded.noting(passed)

    def _prices(self, passed: list[str]) -> Iterator[RawTable]:
        """The tables that hold prices; why each of the others is passed over goes into ``passed``."""
        refused: PricesFileError | None = None
        count = 0
        for name, content in self._tables():
            where = f"{self._where}/{name}"
            try:
                raw = tables.read_table_bytes(where, content, self._max_bytes)
                if raw.columns:
                    price_columns(raw, self._form)
            except PricesFileError as error:
                refused = refused or error
                passed.append(f"passed over: {error}")
                continue
            count += 1
            yield raw
        if not count and refused is not None:
            raise refused
        if not count:
            raise PricesFileError(
                self._where, f"there is no table that files = {self._files!r} names", "correct the option files"
            )

    def _tables(self) -> Iterator[tuple[str, bytes]]:
        """(name, content) of each table, sorted by name."""
        if self.path is not None and self.path.is_dir():
            for path in sorted(self.path.rglob("*")):
                name = path.relative_to(self.path).as_posix()
                if path.is_file() and not path.is_symlink() and self._is_wanted(name):
                    yield name, tables.read_bytes(path)
            return
        content = self._downloaded if self.path is None else tables.read_bytes(self.path)
        if content[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise PricesFileError(self._where, "is neither a zip file nor a folder", "give what Kaggle's Download button gave")
        yield from zip_members.members(self._where, content, self._is_wanted, self._max_bytes)

    def _is_wanted(self, name: str) -> bool:
        hidden = any(part.startswith((".", "__MACOSX")) for part in name.split("/"))
        return not hidden and name.lower().endswith(tables.SUFFIXES) and fnmatch.fnmatchcase(name, self._files)

    @cached_property
    def _downloaded(self) -> bytes:
        user, key = from_environment(USER), from_environment(KEY)
        if not user or not key:
            next_step = "make a token on kaggle.com/settings, or download the dataset and set the option path"
            raise Blocked(self.name, None, f"the environment variables {USER} and {KEY} are not both set", next_step)
        params = {} if self._version is None else {"datasetVersionNumber": self._version}
        web = Web(self.name, self.meter, _HOSTS, base_url=self._base_url, secrets=[key], **self._limits)

        def judge(answer: Answer) -> SourceError | None:
            if answer.status in (401, 403):
                said = f"refused {self._dataset} with status {answer.status}"
                return web.error(Blocked, None, said, f"check {USER} and {KEY}, and accept the dataset's terms on its page")
            if answer.status == 404:
                return web.error(Malformed, None, f"there is no dataset {self._dataset}", "check the option dataset")
            return None

        with web:
            url = f"https://{_HOSTS[0]}/api/v1/datasets/download/{self._dataset}"
            return web.get(url, params, auth=(user, key), judge=judge).body
