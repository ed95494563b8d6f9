"""Files of a source: which ones belong to a day or a history, whether they are complete, and their plain bytes.

Works on any fsspec URL. Bytes are read once, as a stream: hashed, counted and unpacked on the way.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from retention.core.errors import DataError, NotReady
from retention.core.settings import Settings
from retention.core.storage import place, reaching
from retention.orders.sources import Feed, Source

Progress = Callable[[int, int, str], None]  # bytes read, bytes in all, what is read
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_PACKED = "(?:" + "|".join(map(re.escape, COMPRESSIONS)) + ")?"
_DAY = r"(\d{4}-\d{2}-\d{2})"
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a feed."""

    number: int  # from 1, in the order the files are read
    name: str  # as errors and rejections name it: the path below the root
    path: str  # for the file system
    size: int  # bytes, as stored
    day: date | None  # from its path, None if the path names no day
    system: Any  # fsspec file system


def find(settings: Settings, source: Source, feed: Feed, day: date | None, path: str | None) -> list[File]:
    """The files of `feed`: of `day`, or of the whole history (None). `path` replaces the source's own root.

    Raises NotReady when a day is not complete yet or the place cannot be reached, DataError when a history has no such
    file, InputError for a place that nothing here can read.
    """
    url = path or source.root
    if url is None:
        raise DataError(f"Source {source.name} has no folder of its own; say where its files are with --path.")
    url = url.replace("{local}", str(settings.local))
    with reaching(url, f"{source.name}:", NotReady):
        return _find(url, source, feed, day)


def _find(url: str, source: Source, feed: Feed, day: date | None) -> list[File]:
    system, root = _root(url, source)
    if system.isfile(root):
        return _single(system, root, source, feed)
    if day and source.marker:
        marker = _join(root, source.marker.replace("{day}", day.isoformat()))
        if not system.exists(marker):
            raise NotReady(f"{source.name}: {day} is not complete: {marker} is not there yet.")
    pattern = feed.path.replace("{day}", day.isoformat() if day else "*")
    found = _glob(system, root, pattern)
    dated = re.compile(_as_expression(feed.path) + _PACKED)
    files: list[File] = []
    for name in found:
        below = _below(root, name)
        match = dated.fullmatch(below)
        if match is None:
            continue
        of_day = _day(match[1], below) if match.groups() else None
        size = int(system.info(name)["size"] or 0)
        files.append(File(number=len(files) + 1, name=below, path=name, size=size, day=of_day, system=system))
    if not files and feed.required:
        kind = NotReady if day else DataError
        raise kind(
            f"{source.name}: there is no file {pattern} of feed {feed.name} in {root}; "
            f"expected columns: {', '.join(feed.columns)}."
        )
    return files


def fingerprint(file: File) -> str:
    """The SHA-256 of the file as stored."""
    digest = hashlib.sha256()
    with file.system.open(file.path, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Stored:
    """The stored bytes of a file, hashed and counted while they are read."""

    def __init__(self, file: File, stream: BinaryIO, progress: Callable[[int], None] | None) -> None:
        self.file = file
        self._stream = stream
        self._progress = progress
        self._digest = hashlib.sha256()
        self.done = 0

    def read(self, size: int = -1) -> bytes:
        with reaching(self.file.path, "the file", NotReady):
            block = self._stream.read(size)
        self._digest.update(block)
        self.done += len(block)
        if self._progress:
            self._progress(self.done)
        return block

    def readable(self) -> bool:
        return True

    def finish(self) -> str:
        """Read what is left and return the SHA-256. Raises NotReady when the file grew or shrank meanwhile."""
        while self.read(1 << 20):
            pass
        size = int(self.file.system.info(self.file.path)["size"] or 0)
        if self.done != self.file.size or size != self.file.size:
            raise NotReady(
                f"{self.file.name} is still being written: {self.file.size} bytes when we began, {size} now."
            )
        return self._digest.hexdigest()


@contextmanager
def opened(file: File, progress: Callable[[int], None] | None = None) -> Iterator[tuple[BinaryIO, Stored]]:
    """The unpacked bytes of `file` as a stream, and its stored side. Raises DataError when it cannot be unpacked."""
    invalidate = getattr(file.system, "invalidate_cache", None)
    if invalidate:
        invalidate()
    try:
        with file.system.open(file.path, "rb") as raw:
            stored = Stored(file, raw, progress)
            yield _unpacked(file, stored), stored
    except FileNotFoundError as problem:
        raise NotReady(f"{file.name} was there a moment ago and is gone.") from problem
    except _BROKEN as problem:
        raise DataError(
            f"{file.name} cannot be read to its end ({type(problem).__name__}: {problem}): it is truncated or damaged; "
            "deliver it again."
        ) from problem


def _unpacked(file: File, stored: Stored) -> BinaryIO:
    suffix = PurePosixPath(file.path).suffix
    source = cast(BinaryIO, stored)
    if suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=source, mode="rb"))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(source))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(source))
    if suffix == ".zst":
        import pyarrow

        return cast(BinaryIO, pyarrow.CompressedInputStream(pyarrow.PythonFile(_Seekless(stored), mode="r"), "zstd"))
    return source


class _Seekless:
    """What pyarrow asks of a Python file."""

    closed = False

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def read(self, size: int = -1) -> bytes:
        return self._stored.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True


def _day(text: str, path: str) -> date:
    """The day that a path names. Raises DataError for one that no calendar has, or that has no day before or after."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if day.year in (date.min.year, date.max.year):
        raise DataError(f"{path}: {text} is no day that a file can be of; give it the right one, or take it away.")
    return day


def _root(url: str, source: Source) -> tuple[Any, str]:
    system, root = place(url, f"{source.name}:", NotReady)
    invalidate = getattr(system, "invalidate_cache", None)
    if invalidate:
        invalidate()
    if not system.exists(root):
        raise NotReady(f"{source.name}: there is no file or folder {root}.")
    return system, root


def _single(system: Any, path: str, source: Source, feed: Feed) -> list[File]:
    """A path that names a file is that feed's file whose pattern it fits; or the only feed's."""
    name = path.rsplit("/", 1)[-1]
    fits = [other.name for other in source.landed if _fits(other.path.rsplit("/", 1)[-1], name)]
    if not fits and len(source.landed) == 1:
        fits = [source.landed[0].name]
    if not fits:
        raise DataError(
            f"{name} fits none of the feeds of {source.name}: "
            f"{', '.join(f'{other.name} ({other.path})' for other in source.landed)}."
        )
    if feed.name not in fits[:1]:
        return []
    days = re.findall(_DAY, path)
    size = int(system.info(path)["size"] or 0)
    day = _day(days[-1], path) if days and "{day}" in feed.path else None
    return [File(number=1, name=name, path=path, size=size, day=day, system=system)]


def _fits(pattern: str, name: str) -> bool:
    return re.fullmatch(_as_expression(pattern) + _PACKED, name) is not None


def _as_expression(pattern: str) -> str:
    """A path with {day}, * and ? as a regular expression; the first {day} is its group."""
    parts = []
    for part in re.split(r"(\{day\}|\*|\?)", pattern):
        special = {"{day}": _DAY if _DAY not in parts else _DAY.replace("(", "(?:"), "*": "[^/]*", "?": "[^/]"}
        parts.append(special.get(part, re.escape(part)))
    return "".join(parts)


def _glob(system: Any, root: str, pattern: str) -> list[str]:
    """The files of a pattern; where there are none, the compressed ones of that name."""
    has_signs = any(sign in pattern for sign in "*?[")
    for suffix in ("", *COMPRESSIONS):
        if has_signs:
            found = sorted(
                name for name in system.glob(_join(glob.escape(root), pattern + suffix)) if system.isfile(name)
            )
        else:
            found = [path] if system.isfile(path := _join(root, pattern + suffix)) else []
        if found:
            return found
    return []


def _join(root: str, path: str) -> str:
    return f"{root.rstrip('/')}/{path}"


def _below(root: str, path: str) -> str:
    return path.removeprefix(root.rstrip("/") + "/")
