"""Members of a zip file that somebody else made: read into memory, never unpacked to disk, names and sizes checked first."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator

from forecasting.errors import PricesFileError

MOST_MEMBERS = 50_000


def members(where: str, content: bytes, wanted: Callable[[str], bool], most_bytes: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of the wanted members, sorted by name, one at a time.

    PricesFileError, before anything is read, for a zip with a member whose name leads out of it (absolute, '..', a
    backslash, a control character), one twice under the same name, a link, a password, or more than ``most_bytes`` in all.
    """
    with _opened(where, content) as archive:
        infos = archive.infolist()
        if len(infos) > MOST_MEMBERS:
            raise PricesFileError(where, f"holds {len(infos):,} members, more than {MOST_MEMBERS:,}", "unpack what you need")
        seen: set[str] = set()
        for info in infos:
            _check(where, info, seen)
        chosen = sorted((i for i in infos if not i.is_dir() and wanted(i.filename)), key=lambda i: i.filename)
        if (size := sum(i.file_size for i in chosen)) > most_bytes:
            raise PricesFileError(where, f"unpacks to {size:,} bytes, more than {most_bytes:,}", "unpack what you need")
        for info in chosen:
            try:
                with archive.open(info) as member:
                    data = member.read(info.file_size + 1)  # a size that lies ends here, and fails its checksum
                    if member.read(1):
                        raise zipfile.BadZipFile("longer than it says")
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
                raise PricesFileError(
                    where, f"member {info.filename!r:.80} cannot be read ({error})", "fetch it again"
                ) from error
            yield info.filename, data


def names(where: str, content: bytes) -> list[str]:
    """The names of all members."""
    with _opened(where, content) as archive:
        return [info.filename for info in archive.infolist()]


def unpacked_size(where: str, content: bytes) -> int:
    """The bytes that all members say they hold."""
    with _opened(where, content) as archive:
        return sum(info.file_size for info in archive.infolist())


def _opened(where: str, content: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise PricesFileError(where, f"is not a readable zip file ({error})", "fetch it again") from error


def _check(where: str, info: zipfile.ZipInfo, seen: set[str]) -> None:
    name = info.orig_filename
    parts = re.split(r"[/\\]", name)
    problem = None
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name) or ".." in parts or "\\" in name:
        problem = "leads out of it"
    elif any(ord(c) < 32 or ord(c) == 127 for c in name):
        problem = "has a control character in its name"
    elif name in seen:
        problem = "is there twice"
    elif stat.S_ISLNK(info.external_attr >> 16):
        problem = "is a link"
    elif info.flag_bits & 0x1:
        problem = "has a password"
    if problem:
        raise PricesFileError(where, f"member {name!r:.80} {problem}", "such a zip is not read; unpack what you trust yourself")
    seen.add(name)
