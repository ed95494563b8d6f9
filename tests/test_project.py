"""The project around the code: what is tracked, what the documents say, what the compose file starts."""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml

from retention.campaigns import definitions as campaigns
from retention.cli import console as cli
from retention.core.settings import Settings, from_environment
from retention.core.shop import opened
from retention.demo import generator as demo
from retention.local import first_run
from retention.orders import sources, sync
from retention.selections import definitions as selections
from retention.selections import refresh

PROJECT = Path(__file__).resolve().parents[1]
README = (PROJECT / "README.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text())
TOO_LARGE = 500_000  # bytes: nothing that people write is so long

# The one module that reads the wall clock. Everywhere else a day or an instant is a parameter.
CLOCK = "include/retention/core/clock.py"


def tracked() -> list[Path]:
    """Every file that belongs to the project; without git, what stands in its folders."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        files = [PROJECT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        files = [
            file
            for folder in ("benchmarks", "dags", "docs", "include", "plugins", "tests")
            for file in (PROJECT / folder).rglob("*")
            if "__pycache__" not in file.parts and not any(part.endswith(".egg-info") for part in file.parts)
        ]
    return [file for file in files if file.is_file()]


def texts() -> Iterator[tuple[Path, str]]:
    """Each tracked file that is text, by its path in the project."""
    for file in tracked():
        try:
            yield file.relative_to(PROJECT), file.read_text()
        except UnicodeDecodeError:
            continue


# --- what is tracked -------------------------------------------------------------------------------------------------


def test_no_file_names_a_folder_of_somebody() -> None:
    folder = re.compile(r"(?<![\w.:}>-])/(?:home|root|Users|work)/[\w.]+")
    found = {(str(name), match[0]) for name, content in texts() for match in folder.finditer(content)}
    assert not found


def test_no_file_is_data_of_real_people() -> None:
    large = [file.name for file in tracked() if file.stat().st_size > TOO_LARGE]
    assert not large, "data are made by tests or stand beside the checkout"
    address = re.compile(r"[\w.+-]+@([\w-]+(?:\.[\w-]+)*\.[a-z]{2,})\b")
    reserved = (".example", ".invalid", ".test", "example.com", "example.org", "example.net")
    found = {
        (str(name), match[0])
        for name, content in texts()
        for match in address.finditer(content)
        if not match[1].endswith(reserved) and not name.name.startswith("requirements")
    }
    assert not found, "addresses end in .example"


def test_one_module_reads_the_wall_clock() -> None:
    found: dict[str, set[int]] = {}
    for folder in ("include/retention", "dags", "plugins"):
        for file in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and _is_clock(node):
                    found.setdefault(str(file.relative_to(PROJECT)), set()).add(node.lineno)
    assert list(found) == [CLOCK], found


def test_one_module_makes_the_client_of_sendgrid() -> None:
    makers = [
        str(file.relative_to(PROJECT))
        for file in (PROJECT / "include" / "retention").rglob("*.py")
        if "SendGridAPIClient(" in file.read_text()
    ]
    assert makers == ["include/retention/delivery/channels/sendgrid_client.py"]


def _is_clock(node: ast.Attribute) -> bool:
    owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return (owner, node.attr) in {
        ("datetime", "now"),
        ("datetime", "utcnow"),
        ("datetime", "today"),
        ("date", "today"),
        ("time", "time"),
        ("pendulum", "now"),
        ("timezone", "utcnow"),
    }


def test_no_count_is_taken_from_a_command_tag() -> None:
    found = {str(name) for name, content in texts() if name.parts[0] == "include" and ".rowcount" in content}
    copies = {"include/retention/orders/landing.py"}  # COPY returns no rows; landing is local wherever we run
    assert not found - copies, "the tag counts otherwise on Citus: count what `returning` gives"


# --- make ------------------------------------------------------------------------------------------------------------


def test_bare_make_lists_every_target() -> None:
    if not shutil.which("make"):
        pytest.skip("make is not installed here")
    listed = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    makefile = (PROJECT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony
    for target in phony[1].split():
        assert re.search(rf"^  make {target} +\S", listed, re.M), f"{target}: describe it after ##"


def test_continuous_integration_calls_make_test_and_stops_at_the_first_error() -> None:
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    lines = script.read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert lines[-1] == "make test"
    assert "test: check" in (PROJECT / "Makefile").read_text()


def test_every_requirement_is_locked() -> None:
    def name(line: str) -> str:
        return re.split(r"[\[=<>; ]", line)[0].lower().replace("_", "-")

    for stem in STEMS:
        wanted = [line for line in (PROJECT / f"{stem}.in").read_text().splitlines() if re.match(r"\w", line)]
        locked = {name(line) for line in (PROJECT / f"{stem}.txt").read_text().splitlines() if "==" in line}
        assert {name(line) for line in wanted} <= locked, f"run `make lock`: {stem}.txt is older than {stem}.in"


STEMS = ("requirements", "requirements-dev", "requirements-install")
PIN = re.compile(r"^([\w.-]+==[^\s\\]+)((?: ; [^\\\n]+?)?)(?: \\)?$", re.M)


@pytest.mark.parametrize("stem", STEMS)
def test_a_lock_has_the_versions_of_its_plain_file_each_with_hashes(stem: str) -> None:
    plain = PIN.findall((PROJECT / f"{stem}.txt").read_text())
    lock = (PROJECT / f"{stem}.lock").read_text()
    assert plain
    assert sorted(PIN.findall(lock)) == sorted(plain), "run `make lock`"
    for entry in re.split(r"^(?=\w)", lock, flags=re.M)[1:]:
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}", entry, re.M), entry
    assert "--hash" not in (PROJECT / f"{stem}.txt").read_text()


def test_no_lock_names_a_registry() -> None:
    for file in PROJECT.glob("requirements*"):
        assert not re.search(r"://|--(?:extra-)?index-url|--find-links|--trusted-host", file.read_text()), file.name


def test_the_lock_holds_every_extra() -> None:
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    lock = (PROJECT / "requirements.lock").read_text()
    for wanted in (each for group in extras.values() for each in group):
        assert re.search(rf"^{re.split('[<>=]', wanted)[0]}==", lock, re.M), f"run `make lock`: {wanted}"
    assert "--all-extras" in (PROJECT / "Makefile").read_text()


def test_s3_and_google_storage_can_be_read() -> None:
    import fsspec

    for scheme in ("s3", "gs"):
        assert fsspec.get_filesystem_class(scheme) is not None


def planned(*arguments: str) -> str:
    """What make would do for a new environment, without doing it."""
    done = subprocess.run(
        ["make", "--dry-run", "--always-make", "PYTHON=python3", *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_make_installs_by_hash_and_by_version_only_when_asked_to() -> None:
    hashed = [line for line in planned("check").splitlines() if " -r requirements" in line]
    assert {match for line in hashed for match in re.findall(r"-r (\S+)", line)} == {f"{stem}.lock" for stem in STEMS}
    assert all("--require-hashes" in line and "--no-deps" in line for line in hashed)
    plain = [line for line in planned("check", "LOCK=requirements.txt").splitlines() if " -r requirements" in line]
    assert {match for line in plain for match in re.findall(r"-r (\S+)", line)} == {f"{stem}.txt" for stem in STEMS}
    assert not any("--require-hashes" in line for line in plain)


@pytest.mark.parametrize("installer", [["pip", "install", "--dry-run"], ["uv", "pip", "install", "--python", "{venv}"]])
def test_a_file_with_another_hash_is_not_installed(installer: list[str], tmp_path: Path) -> None:
    pytest.importorskip(installer[0])
    wheel = tmp_path / "changed-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("changed.py", "")
        archive.writestr("changed-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: changed\nVersion: 1.0\n")
        archive.writestr(
            "changed-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("changed-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    for found, is_installed in (("0" * 64, False), (digest, True)):
        (tmp_path / "some.lock").write_text(f"changed==1.0 --hash=sha256:{found}\n")
        command = [sys.executable, "-m", *(word.replace("{venv}", str(tmp_path / "venv")) for word in installer)]
        done = subprocess.run(
            [*command, "--no-deps", "--require-hashes", "--no-index", "--find-links", tmp_path, "-r", "some.lock"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) is is_installed, done.stderr


# --- documents -------------------------------------------------------------------------------------------------------


def commands(parser: argparse.ArgumentParser, words: str = "retention") -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                deeper = list(commands(sub, f"{words} {name}"))
                yield from deeper or [f"{words} {name}"]


def test_the_readme_names_every_command() -> None:
    for command in commands(cli._parser()):
        assert f"`{command}" in README, f"README.md: say what `{command}` does"


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return default


def variables() -> set[str]:
    """Every environment variable of ours that the code reads."""
    asked = Asked()
    from_environment(asked)
    found = {
        name
        for file in [*(PROJECT / "include" / "retention").rglob("*.py"), *(PROJECT / "tests").glob("conftest.py")]
        for name in re.findall(r'environ(?:\.get\(|\[)"((?:RETENTION|SENDGRID|TWILIO)_[A-Z_]+)"', file.read_text())
    }
    return asked.names | found


def test_the_readme_explains_every_setting_and_no_other() -> None:
    table = README.split("## Settings")[1].split("\n## ")[0]
    explained = set(re.findall(r"`((?:RETENTION|SENDGRID|TWILIO)_[A-Z_]+)`", table))
    assert explained == variables()


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for document in [PROJECT / "README.md", PROJECT / "CHANGELOG.md", *(PROJECT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    assert re.search(r"^## Unreleased$", (PROJECT / "CHANGELOG.md").read_text(), re.M)


def test_the_commands_of_the_tour_work_for_the_day_that_the_demo_shop_did_last(
    settings: Settings, tmp_path: Path
) -> None:
    include, local = tmp_path / "include", tmp_path / ".local"
    shutil.copytree(PROJECT / "include", include, ignore=shutil.ignore_patterns("retention", "*.egg-info"))
    for name, content in re.findall(r"^`(include/[\w/.]+)`\n\n```\w+\n(.*?)^```$", README, re.M | re.S):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    newest = first_run.yesterday(settings)
    shop = local / "demo_shop"
    demo.generate(shop, customers=300, days=100, seed=7, until=newest, zone=settings.shop_time_zone)
    last = (shop / newest.isoformat()).rename(tmp_path / "last")
    sync.load(opened(settings), "demo_shop", str(shop))
    last.rename(shop / newest.isoformat())
    sync.sync(opened(settings), "demo_shop", newest, str(local / "demo_shop"))
    refresh.select(opened(settings), newest)
    shutil.copytree(local / "demo_shop", tmp_path / "exports")
    tour = README.split("## Adding to it")[1].split("\n## ")[0]
    lines = re.findall(r"^    ((?:DAY=|retention (?!load )).*)$", tour, re.M)
    assert len(lines) == 5
    done = subprocess.run(
        ["bash", "-ec", "\n".join(lines)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RETENTION_INCLUDE": str(include),
            "RETENTION_LOCAL": str(local),
            "RETENTION_DATABASE_URL": str(settings.database_url),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^enrolled: [1-9]", done.stdout, re.M), done.stdout


def test_the_readme_names_every_source_that_comes_with_it_and_how_it_is_loaded() -> None:
    loaded = re.findall(r"^    retention load --source (\w+) --path \S+", README, re.M)
    histories = [file.stem for file in (PROJECT / "include" / "sources").glob("*.yaml") if file.stem != "demo_shop"]
    assert sorted(loaded) == sorted(histories)


def test_no_document_has_a_bare_who_for_a_subject() -> None:
    verbs = "orders?|ordered|bought|completed|enters|has|had|spends|showed|prints|was|were|is|are|opts"
    bare = re.compile(rf"(?:[.;] [Ww]ho|\b(?:for|of|end|enrols?) who|[|:] Who) (?:{verbs})\b")
    documents = [PROJECT / "README.md", *(PROJECT / "docs").rglob("*.md"), *(PROJECT / "dags").glob("*.py")]
    found = {document.name: bare.findall(document.read_text()) for document in documents}
    assert not {name: each for name, each in found.items() if each}


def test_the_tour_of_the_readme_works_as_it_is_written(tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(PROJECT / "include", include, ignore=shutil.ignore_patterns("retention", "*.egg-info"))
    blocks = re.findall(r"^`(include/[\w/.]+)`\n\n```\w+\n(.*?)^```$", README, re.M | re.S)
    assert len(blocks) == 5
    for name, content in blocks:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    source = sources.read(include, "corner_shop")
    assert (include / "sql" / "orders" / "mappings" / f"{source.feeds['orders'].mapping}.sql").exists()
    assert "big_spenders" in selections.read_all(include)
    campaign = campaigns.read(include, "thank_you")
    assert [step.step for step in campaign.steps] == ["thanks"]


# --- the compose file ------------------------------------------------------------------------------------------------


def test_the_compose_file_keeps_to_its_schema() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run(
        [*command, "docker-compose.yaml"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def compose_commands() -> dict[str, list[str]]:
    """By service: each airflow or retention command that it runs, to start, to prepare, or to say how it is."""
    found: dict[str, list[str]] = {}
    for name, service in COMPOSE["services"].items():
        if "build" not in service:
            continue
        given = service["command"]
        words = given if isinstance(given, str) else " && ".join(given)
        if service.get("entrypoint") == ["retention"]:
            words = f"retention {words}"
        elif "entrypoint" not in service:
            words = f"airflow {words}"
        test = service.get("healthcheck", {}).get("test", [])
        parts = [*words.split(" && "), *(test[1:] if test[:1] == ["CMD-SHELL"] else [])]
        found[name] = [part.replace("$$", "$") for part in parts]
    return found


@pytest.mark.airflow
def test_every_command_of_the_compose_file_exists() -> None:
    airflow = []
    for service, lines in compose_commands().items():
        for line in lines:
            program, *words = shlex.split(line)
            if program == "airflow":
                airflow.append(words)
            elif program == "retention":
                with pytest.raises(SystemExit) if words == ["--help"] else nullcontext():
                    cli._parser().parse_args(words)
            else:
                assert program == "celery", f"{service}: {line}"
    assert ["celery", "worker"] in airflow
    code = (
        "import json, sys; from airflow.cli.cli_parser import get_parser; parser = get_parser()\n"
        "for words in json.loads(sys.argv[1]): parser.parse_args(words)"
    )
    command = [sys.executable, "-c", code, json.dumps(airflow)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_every_variable_of_the_compose_file_is_in_the_example_and_no_secret_is() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (PROJECT / ".env.example").read_text(), re.M))
    text = (PROJECT / "docker-compose.yaml").read_text()
    assert set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text)) == set(example)
    required = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    assert required == {
        "AIRFLOW_FERNET_KEY",
        "AIRFLOW_API_SECRET_KEY",
        "AIRFLOW_JWT_SECRET",
        "POSTGRES_PASSWORD",
        "RETENTION_SECRET",
    }
    secret = {name for name in example if re.search(r"SECRET|PASSWORD|KEY|TOKEN|SID", name)}
    assert not {name for name in secret | required if example[name]}


def test_the_containers_get_every_setting_of_a_shop() -> None:
    asked = Asked()
    from_environment(asked)
    given = set(COMPOSE["x-airflow"]["environment"])
    tuning = {
        "RETENTION_BATCH_SIZE",
        "RETENTION_EMAILS_PER_REQUEST",
        "RETENTION_INACTIVE_DAYS",
        "RETENTION_PROVIDER_TIMEOUT",
        "RETENTION_SMS_SEGMENTS",
        "RETENTION_SMS_AT_ONCE",
        "RETENTION_EMAIL_DELAY",
        "RETENTION_EMAIL_REQUESTS_AT_ONCE",
        "RETENTION_WORKERS",
    }
    assert asked.names - given == tuning


def test_every_service_says_how_it_is_and_waits_for_what_it_needs() -> None:
    services: Mapping[str, Any] = COMPOSE["services"]
    one_off = {"init", "retention", "show-outbox"}
    assert all("healthcheck" in service for name, service in services.items() if name not in one_off)
    for service in services.values():
        for name, needed in service.get("depends_on", {}).items():
            assert name in services
            assert needed["condition"] in ("service_healthy", "service_completed_successfully")
            if needed["condition"] == "service_healthy":
                assert "healthcheck" in services[name]


EXACT = r"v?\d+\.\d+(?:\.\d+)?"  # PostgreSQL's versions have two parts


def test_every_image_is_named_by_an_exact_version() -> None:
    images = {service["image"] for service in COMPOSE["services"].values() if "build" not in service}
    assert len(images) >= 3
    for image in images:
        name, _, version = image.partition(":")
        parts = 2 if name == "postgres" else 3
        assert re.fullmatch(EXACT, version), image
        assert len(version.split(".")) == parts, image
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert COMPOSE["x-airflow"]["image"] == f"retention:{project['version']}"


def test_the_image_runs_as_a_user_who_does_not_own_the_code() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    assert re.findall(r"^USER (\S+)$", dockerfile, re.M)[-1] == "airflow"
    last = dockerfile.split("USER root")[1]
    copied = {name for names in re.findall(r"^COPY --chown=\S+ (.*) \S+$", dockerfile, re.M) for name in names.split()}
    assert copied
    for command in ("chown -R root:0", "chmod -R go-w"):
        assert copied <= set(re.search(rf"{command} ([^&\\]+)", last)[1].split()), command  # type: ignore[index]
    assert not [line for line in dockerfile.splitlines() if "pip install" in line and "--no-deps" not in line]
    assert not re.search(r"pip install(?!.*--require-hashes).*-r ", dockerfile)
    assert not [service for service in COMPOSE["services"].values() if str(service.get("user", "")).startswith("0")]


def test_the_image_has_the_airflow_of_the_lock_and_copies_what_is_there() -> None:
    dockerfile = (PROJECT / "Dockerfile").read_text()
    locked = re.search(r"^apache-airflow==(\S+)$", (PROJECT / "requirements.txt").read_text(), re.M)
    assert locked
    assert re.search(rf"^FROM apache/airflow:slim-{re.escape(locked[1])}-python3\.11$", dockerfile, re.M)
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    for copied in re.findall(r"^COPY (?:--chown=\S+ )?(.*) \S+$", dockerfile, re.M):
        for name in copied.split():
            assert (PROJECT / name).exists()
            assert f"!{name}" in ignored


def test_the_package_asks_for_the_python_that_the_lock_is_for() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "--python-version 3.11" in (PROJECT / "Makefile").read_text()
