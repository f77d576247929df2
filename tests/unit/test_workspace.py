"""Rules for the files of this repository that no linter has."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PARTS = ("core", "services/api", "services/worker", "operator", "cli")
LONGEST_MODULE_LINES = 400
# Joined here, so that this file passes its own test.
REGISTRY_HOSTS = [
    ".".join(labels)
    for labels in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("proxy", "golang", "org"),
        ("crates", "io"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("deb", "debian", "org"),
    )
]


@cache
def own_files() -> tuple[Path, ...]:
    """Every file of the repository, tracked or about to be: what git does not ignore."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone: git tells which files are the repository's own")
    command = [git, "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 - ours
    paths = (ROOT / name for name in listing.split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def dependencies(part: str) -> list[Requirement]:
    """What the pyproject.toml of a part asks for, extras included, other parts left out."""
    project = tomllib.loads((ROOT / part / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    named = [*project["dependencies"], *(name for extra in extras for name in extra)]
    return [need for need in map(Requirement, named) if not need.name.startswith("jobqueue-")]


def locked(name: str) -> dict[str, str]:
    """The versions in requirements/<name>.txt, by package."""
    lines = re.findall(
        r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE
    )
    return {canonicalize_name(package): version for package, version in lines}


def test_no_file_names_the_host_of_a_package_registry() -> None:
    named = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in own_files()
        for host in REGISTRY_HOSTS
        if re.search(rf"\b{re.escape(host)}\b".encode(), path.read_bytes())
    ]
    assert named == []


def test_modules_stay_short() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in own_files()
        if path.suffix == ".py"
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE_LINES} == {}


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_the_lock_that_uv_writes_by_itself_is_ignored() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()
    assert "uv.lock" not in {path.name for path in own_files()}


@pytest.mark.parametrize("part", PARTS)
def test_the_lock_holds_what_each_part_asks_for(part: str) -> None:
    versions = locked("dev")
    unmet = [
        str(need)
        for need in dependencies(part)
        if not need.specifier.contains(versions.get(canonicalize_name(need.name), "0"), prereleases=True)
    ]
    assert unmet == []


IMAGE_LOCKS = ["api", "operator", "runtime", "worker"]


@pytest.mark.parametrize("name", ["bootstrap", "build", "embedded", *IMAGE_LOCKS])
def test_every_lock_is_cut_from_the_one_of_the_developers(name: str) -> None:
    assert locked(name).items() <= locked("dev").items()


@pytest.mark.parametrize("name", IMAGE_LOCKS)
def test_nothing_embedded_goes_into_an_image(name: str) -> None:
    assert {"ministack", "secantusdb"} & locked(name).keys() == set()
