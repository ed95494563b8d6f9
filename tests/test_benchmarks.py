"""The benchmarks run, in small: what they measure still goes through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
SMALL = {
    "delivery.py": ["--messages", "60", "--one-by-one", "5"],
    "sms.py": ["--messages", "12", "--one-by-one", "3", "--latency", "1"],
    "history.py": ["--orders", "3000"],
}


@pytest.mark.parametrize("name", SMALL)
def test_a_benchmark_runs_to_its_figures(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *SMALL[name]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1])
