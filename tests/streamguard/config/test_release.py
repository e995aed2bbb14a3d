"""Lock files, workflows and the check of a release's tag."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from tests.support.project import PROJECT_ROOT

VERSION = metadata.version("streamguard")
REQUIREMENTS = [Requirement(text) for text in metadata.requires("streamguard") or ()]
EXTRAS = metadata.metadata("streamguard").get_all("Provides-Extra") or []
WORKFLOWS = sorted((PROJECT_ROOT / ".github" / "workflows").glob("*.yml"))


def locked(name: str) -> dict[str, list[str]]:
    """The versions of each package in a lock file; several where the version depends on the Python."""
    found: dict[str, list[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", (PROJECT_ROOT / name).read_text(), re.MULTILINE):
        found.setdefault(package.lower(), []).append(version)
    return found


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", [r for r in REQUIREMENTS if "extra" not in str(r.marker)]),
        ("requirements-dev.lock", [r for r in REQUIREMENTS if r.name != "streamguard"]),
    ],
)
def test_the_lock_has_every_dependency_in_a_version_that_fits(lock: str, requirements: list[Requirement]) -> None:
    versions = locked(lock)
    assert len(requirements) > 10
    for requirement in requirements:
        found = versions.get(requirement.name.lower(), [])
        assert found, f"{requirement.name} is not in {lock}: run scripts/lock.sh"
        assert all(requirement.specifier.contains(version) for version in found), f"{requirement}: run scripts/lock.sh"


def test_both_locks_have_the_same_versions() -> None:
    development = locked("requirements-dev.lock")
    assert all(development[name] == versions for name, versions in locked("requirements.lock").items())


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_the_lock_of_an_extra_has_what_it_needs_in_the_versions_of_the_tests(extra: str) -> None:
    versions, development = locked(f"requirements/{extra}.lock"), locked("requirements-dev.lock")
    needed = [r for r in REQUIREMENTS if r.marker is not None and r.marker.evaluate({"extra": extra})]
    assert needed and all(r.name.lower() in versions for r in needed)
    assert all(development[name] == found for name, found in versions.items())
    assert f" {extra}" in (PROJECT_ROOT / "scripts" / "lock.sh").read_text()


def test_the_locks_need_no_look_at_dependencies() -> None:
    """With them pip refuses a lock file as soon as a newer version of a package with extras is published."""
    checked = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    script = (PROJECT_ROOT / "scripts" / "venv.sh").read_text()
    assert all("--no-deps" in line for line in script.splitlines() if "--require-hashes" in line)


def test_each_locked_package_has_hashes_and_no_host() -> None:
    for name in (
        "requirements.lock",
        "requirements-dev.lock",
        *(f"requirements/{e}.lock" for e in EXTRAS if e != "dev"),
    ):
        text = (PROJECT_ROOT / name).read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=\w)", text) if "==" in entry)


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_names_its_permissions_time_limits_and_existing_scripts(workflow: Any) -> None:
    content = yaml.safe_load(workflow.read_text())
    assert content["permissions"] == {"contents": "read"}
    for job in content["jobs"].values():
        assert job["timeout-minutes"]
        for command in re.findall(r"^\S*(?:\.ci|scripts)/\S+", "\n".join(s.get("run", "") for s in job["steps"]), re.M):
            assert (PROJECT_ROOT / command).exists(), command


def test_a_tag_has_to_be_the_version() -> None:
    def check(*tag: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([PROJECT_ROOT / "scripts" / "check-tag.sh", *tag], capture_output=True, text=True)

    assert check(f"v{VERSION}").returncode == 0
    for wrong in ([], ["v99.0.0"], [VERSION]):
        refused = check(*wrong)
        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1 and VERSION in refused.stderr
