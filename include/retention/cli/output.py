"""What a command prints on stdout, which may be a pipe whose reader has gone, or a full disk."""

from __future__ import annotations

import os
import sys


def say(line: str) -> bool:
    """Print a line; False when nobody reads any more. Raises OSError when it cannot be written for another reason."""
    try:
        print(line)
    except BrokenPipeError:
        _discard()
        return False
    except OSError:
        _discard()
        raise
    return True


def finish() -> None:
    """Write what is still held back, so that an error shows here, not after the end. Raises OSError as `say` does."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard()
    except OSError:
        _discard()
        raise


def _discard() -> None:
    """Let nothing more go out: Python would try once more at the end, and fail with a message of its own."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
