"""What holds somebody's data is a file that only its owner may read."""

from __future__ import annotations

from pathlib import Path

import fsspec

from retention.core import storage


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_exports_and_messages_are_files_that_only_their_owner_may_read(tmp_path: Path) -> None:
    system, root = fsspec.core.url_to_fs(str(tmp_path / "audiences"))
    storage.make_folder(system, f"{root}/winback")
    storage.write(system, f"{root}/winback/add.csv", b"email\n")
    assert (mode(tmp_path / "audiences" / "winback"), mode(tmp_path / "audiences" / "winback" / "add.csv")) == (
        0o700,
        0o600,
    )
    message = tmp_path / "message.eml"
    message.write_text("an older one")
    message.chmod(0o644)
    storage.write_private(message, b"To: somebody\n")
    assert (mode(message), message.read_bytes()) == (0o600, b"To: somebody\n")
