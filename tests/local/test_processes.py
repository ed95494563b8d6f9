"""Background processes: they outlive us, and nobody else's is ever signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retention.local import processes
from retention.local.processes import Process

SLEEP = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import os, subprocess, sys, time;"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], process_group=0); print(1, flush=True);"
    "time.sleep(60)",
]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[object]:
    """Start a command and wait until it has printed something."""
    started: list[Process] = []

    def run(command: list[str]) -> Process:
        log = tmp_path / f"{len(started)}.log"
        started.append(processes.start(command, os.environ, log, tmp_path))
        while not log.read_text():
            time.sleep(0.01)
        return started[-1]

    yield run
    processes.stop({str(each.pid): each for each in started}, patience=0.1)


def members(session: int) -> list[int]:
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "Z" not in line.split()[1]]


def test_a_process_is_found_again_in_its_note_and_stopped(start: object, tmp_path: Path) -> None:
    one = start(SLEEP)  # type: ignore[operator]
    processes.note(tmp_path / "noted.json", {"one": one})
    found = processes.read(tmp_path / "noted.json")
    assert found["one"].runs
    assert processes.stop(found) == ["one"]
    assert not found["one"].runs


def test_one_that_ignores_the_request_is_killed(start: object) -> None:
    one = start(STUBBORN)  # type: ignore[operator]
    processes.stop({"one": one}, patience=0.3)
    assert not one.runs


def test_children_in_groups_of_their_own_go_with_it(start: object) -> None:
    parent = start(PARENT)  # type: ignore[operator]
    assert len(members(parent.pid)) == 2
    processes.stop({"parent": parent})
    assert members(parent.pid) == []


def test_children_of_one_that_was_killed_go_too(start: object) -> None:
    parent = start(PARENT)  # type: ignore[operator]
    os.kill(parent.pid, signal.SIGKILL)
    while parent.runs:
        time.sleep(0.01)
    assert len(members(parent.pid)) == 1
    assert processes.stop({"parent": parent}) == []
    assert members(parent.pid) == []


def test_a_pid_that_now_belongs_to_somebody_else_is_left_alone(start: object) -> None:
    one = start(SLEEP)  # type: ignore[operator]
    stale = Process(pid=one.pid, started="another moment")
    assert not stale.runs
    assert processes.stop({"stale": stale}) == []
    assert one.runs
