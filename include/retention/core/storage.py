"""Places where files are: a folder, or any URL that fsspec knows. One that cannot be reached is one sentence."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from retention.core.errors import InputError, RetentionError

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "az": "adlfs",
    "adl": "adlfs",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "http": "aiohttp",
    "https": "aiohttp",
    "smb": "smbprotocol",
    "oss": "ossfs",
    "hdfs": "pyarrow",
    "webdav": "webdav4",
}


def place(url: str, name: str, error: type[RetentionError]) -> tuple[Any, str]:
    """The file system of a folder, a file or a URL, and the path there. Raises as `reaching` does."""
    import fsspec

    with reaching(url, name, error):
        system, path = fsspec.core.url_to_fs(url)
    return system, path


@contextmanager
def reaching(url: str, name: str, error: type[RetentionError]) -> Iterator[None]:
    """Turn what a file system raises into one sentence that begins with `name`, what the place is; ours pass through.

    Raises InputError for a kind of place that is not known, or that needs a package which is not installed; `error` for
    one that does not answer, or does not let us in.
    """
    kind, shown = url.partition("://")[0], re.sub(r"://[^/@]*@", "://", url)  # no password in a message
    try:
        yield
    except RetentionError:
        raise
    except ImportError as problem:
        what = f"run `pip install {_PACKAGES[kind]}` where this runs" if kind in _PACKAGES else str(problem)
        raise InputError(f"{name} {shown}: files of {kind}:// need one more package; {what}.") from problem
    except Exception as problem:  # each of some thirty file systems has errors of its own
        if str(problem).startswith("Protocol not known"):
            raise InputError(
                f"{name} {shown}: {kind!r} is no kind of place; write a folder, or a URL that begins with file, s3, "
                "gs, abfs, http, https, ftp, sftp, or another that fsspec knows."
            ) from problem
        said = (str(problem).strip().splitlines() or [""])[0][:200]
        raise error(f"{name} {shown} cannot be reached ({type(problem).__name__}: {said}).") from problem


def make_folder(system: Any, path: str) -> None:
    """Make a folder for somebody's data, unless it is there. On this machine only its owner may enter it."""
    system.makedirs(path, exist_ok=True)
    if _is_local(system):
        Path(path).chmod(0o700)


def write(system: Any, path: str, content: bytes) -> None:
    """Write a file into a folder of `make_folder`. On this machine only its owner may read it."""
    system.pipe_file(path, content)
    if _is_local(system):
        Path(path).chmod(0o600)


def _is_local(system: Any) -> bool:
    return "file" in (system.protocol, *system.protocol)


def write_private(file: Path, content: bytes) -> None:
    """Write a file that only its owner may read, from its first byte on; one that is there is replaced."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
