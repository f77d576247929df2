"""Where the programs of a control plane come from."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
CACHE_VARIABLE = "JOBQUEUE_TEST_ENVTEST_CACHE"
SETUP_ENVTEST = "setup-envtest"
BUILD = Path(__file__).parents[3] / "cluster" / "tools" / "build"
# Compiling Kubernetes with an empty build cache takes minutes on two cores; what takes longer hangs.
_BUILD_SECONDS = 1_800.0
_LOOK_UP_SECONDS = 120.0


class NoControlPlaneError(RuntimeError):
    """There is no control plane to be had; the message names every way to have one, and what each said."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder with `etcd`, `kube-apiserver` and `kubectl`, and where it came from."""

    folder: Path
    origin: str

    @property
    def etcd(self) -> str:
        """Path of the program."""
        return str(self.folder / "etcd")

    @property
    def apiserver(self) -> str:
        """Path of the program."""
        return str(self.folder / "kube-apiserver")

    @property
    def kubectl(self) -> str:
        """Path of the program."""
        return str(self.folder / "kubectl")

    def missing(self) -> list[str]:
        """Return the names of the programs that the folder does not have."""
        programs = (self.etcd, self.apiserver, self.kubectl)
        return [Path(program).name for program in programs if not os.access(program, os.X_OK)]


def find_binaries() -> Binaries:
    """Return the programs: of KUBEBUILDER_ASSETS, of setup-envtest, or built from the pinned modules.

    Raises:
        NoControlPlaneError: None of the three has them. A folder that KUBEBUILDER_ASSETS names and that
            lacks a program is an error of its own: what was named on purpose is never passed over.
    """
    named = os.environ.get(ASSETS_VARIABLE)
    if named:
        found = Binaries(Path(named), f"of {ASSETS_VARIABLE}")
        if missing := found.missing():
            raise NoControlPlaneError(f"{ASSETS_VARIABLE}={named} lacks {', '.join(missing)}")
        return found
    tried = [f"{ASSETS_VARIABLE} is not set"]
    for look in (_of_setup_envtest, _of_build):
        looked = look()
        if isinstance(looked, Binaries):
            return looked
        tried.append(looked)
    raise NoControlPlaneError(
        "tests/cluster needs a Kubernetes API server and found none: "
        + "; ".join(tried)
        + ". Mend one of these, or set JOBQUEUE_TEST_KUBE_CONTEXT to a context of KUBECONFIG "
        "whose cluster tests may write to."
    )


def find_helm() -> str:
    """Return the path of helm: on PATH, or built from the project's pinned modules.

    Raises:
        NoControlPlaneError: Neither.
    """
    on_path = shutil.which("helm")
    if on_path is not None:
        return on_path
    built = _run([str(BUILD), "helm"], _BUILD_SECONDS)
    if built.returncode != 0:
        raise NoControlPlaneError(f"helm is not on PATH, and {_last_line(built)}")
    return str(Path(built.stdout.strip()) / "helm")


def _of_setup_envtest() -> Binaries | str:
    """Return what setup-envtest has (it may be without a network), else why not."""
    program = shutil.which(SETUP_ENVTEST)
    if program is None:
        return f"{SETUP_ENVTEST} is not on PATH"
    said = ""
    for offline in ([], ["--installed-only"]):
        answer = _run([program, "use", *offline, "-p", "path"], _LOOK_UP_SECONDS)
        found = Binaries(Path(answer.stdout.strip()), f"of {SETUP_ENVTEST}")
        if answer.returncode == 0 and not found.missing():
            return found
        said = said or _last_line(answer)
    return f"{SETUP_ENVTEST} has none ({said})"


def _of_build() -> Binaries | str:
    """Return what is built, building it if need be, else why not."""
    answer = _run([str(BUILD)], _BUILD_SECONDS)
    found = Binaries(Path(answer.stdout.strip()), "built from tests/cluster/tools")
    if answer.returncode != 0 or found.missing():
        return f"tests/cluster/tools/build failed ({_last_line(answer)})"
    return found


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603 - the command is ours
            command, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no end within {seconds:g} s")


def _last_line(answer: subprocess.CompletedProcess[str]) -> str:
    return (answer.stderr.strip() or "it said nothing").splitlines()[-1]
