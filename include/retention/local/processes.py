"""Background processes of our own: each in a session of its own, known by its pid and the moment it started.

A pid alone proves nothing, since the system gives it to somebody else once ours is gone. So the moment of the start is
kept beside it, and only a process that has both is ever signalled.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process that was started here."""

    pid: int  # also the id of its process group and session
    started: str  # the system's own mark of the moment it started

    @property
    def runs(self) -> bool:
        """Whether this very process still runs."""
        return _started(self.pid) == self.started


def start(command: Sequence[str], environment: Mapping[str, str], log: Path, folder: Path) -> Process:
    """Start `command` so that it outlives us; what it prints is added to `log`."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(pid=child.pid, started=_started(child.pid) or "")


def stop(processes: Mapping[str, Process], patience: float = 15.0) -> list[str]:
    """Ask each to end, wait `patience` seconds in all, then kill what is left of their sessions; the names stopped.

    Of one that died by itself, the children it left behind are killed.
    """
    ours = {name: process for name, process in processes.items() if process.runs}
    for process in ours.values():
        os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and any(process.runs for process in ours.values()):
        time.sleep(0.1)
    for process in processes.values():
        # A pid is not given away while a session has its number: with nobody of that pid, the session is still ours.
        if process in ours.values() or _started(process.pid) is None:
            _kill_session(process.pid)
    return list(ours)


def read(file: Path) -> dict[str, Process]:
    """The processes noted in `file`; none when there is no file."""
    if not file.exists():
        return {}
    return {name: Process(**each) for name, each in json.loads(file.read_text()).items()}


def note(file: Path, processes: Mapping[str, Process]) -> None:
    """Note `processes` in `file`, all or nothing."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({name: asdict(process) for name, process in processes.items()}))
    draft.replace(file)


def _started(pid: int) -> str | None:
    """When the process began, as the system writes it; None if there is none, or only what is left of a dead one."""
    if PROC.is_dir():
        fields = _stat(pid)
        return None if not fields or fields[0] == "Z" else fields[19]
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    words = answer.stdout.split(maxsplit=1)
    return None if len(words) < 2 or words[0].startswith("Z") else words[1].strip()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat from the state on: the name before it may hold spaces and brackets."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _kill_session(leader: int, patience: float = 5.0) -> None:
    """Kill what is left of a session and see it gone. A worker may be in a group of its own, not in another session."""
    if not PROC.is_dir():
        return _kill(os.killpg, leader)
    deadline = time.monotonic() + patience
    while (left := _members(leader)) and time.monotonic() < deadline:
        for pid in left:
            _kill(os.kill, pid)
        time.sleep(0.02)
    return None


def _members(session: int) -> list[int]:
    """The processes of a session, but for what is left of dead ones."""
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
    found = {pid: _stat(pid) for pid in pids}
    return [pid for pid, fields in found.items() if fields and fields[0] != "Z" and int(fields[3]) == session]


def _kill(how: Callable[[int, int], None], pid: int) -> None:
    with suppress(ProcessLookupError):
        how(pid, signal.SIGKILL)
