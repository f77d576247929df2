"""From options and environment to what is to be started; nothing runs yet, everything is checked."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jobqueue_cli.environment import (
    Embedded,
    needs_database,
    needs_queue,
    needs_sample,
    with_aws,
    with_config,
    with_embedded,
)
from jobqueue_cli.errors import BAD_ARGUMENTS, CommandError
from jobqueue_cli.ports import LOOPBACK, free_ports
from jobqueue_core.settings.load import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.settings.model import Settings

_ANY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 -- compared with, not listened on


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """What the command line says; None leaves it to the settings.

    Attributes:
        defaults: Settings, as environment variables, of this command; the user's win.
    """

    data_dir: Path
    host: str | None = None
    port: int | None = None
    max_workers: int | None = None
    concurrency: int | None = None
    exit_after_jobs: int | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)

    def as_settings(self) -> dict[str, str]:
        """Return the options as environment variables: each is the short form of a setting."""
        values = {
            "JOBQUEUE_API__HOST": self.host,
            "JOBQUEUE_API__PORT": self.port,
            "JOBQUEUE_SCALING__MAX_REPLICAS": self.max_workers,
            "JOBQUEUE_WORKER__CONCURRENCY": self.concurrency,
        }
        return {name: str(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class UpPlan:
    """Everything that a start needs to know.

    Attributes:
        settings: The validated settings.
        env: Environment of the API and the workers.
        embedded: Ports of the embedded parts.
        port: The API's port.
    """

    settings: Settings
    env: Mapping[str, str]
    embedded: Embedded
    port: int

    @property
    def url(self) -> str:
        """The API's URL for a client on this machine."""
        host = self.settings.api.host
        if host in _ANY_ADDRESS:
            host = LOOPBACK
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


class _SecretsOnDemand:
    """Implements the port `SecretReader`; loads AWS's client only where a setting names a secret."""

    async def read(self, secret_id: str) -> str:
        """Return the text of a secret."""
        from jobqueue_core.adapters.secrets_manager import SecretsManagerReader  # noqa: PLC0415

        return await SecretsManagerReader().read(secret_id)


def plan_up(options: UpOptions, environ: Mapping[str, str]) -> UpPlan:
    """Choose ports, lay everything over the user's environment, and load the settings.

    To be called before an event loop runs.

    Raises:
        SettingsError: Settings that cannot be.
    """
    env = {**options.defaults, **with_config(environ, Path("config")), **options.as_settings()}
    database, queue, sample, spare = free_ports(4)
    embedded = Embedded(
        database_port=database if needs_database(env) else None,
        queue_port=queue if needs_queue(env) else None,
        sample_port=sample if needs_sample(env) else None,
    )
    env = with_embedded(env, embedded)
    settings = load_settings(env, secrets=_SecretsOnDemand())
    port = settings.api.port or spare
    env["JOBQUEUE_API__PORT"] = str(port)
    if embedded.queue_port is not None:
        env = with_aws(env, embedded.queue_port, keep_credentials=bool(settings.secrets))
    return UpPlan(settings=settings, env=env, embedded=embedded, port=port)


def program(name: str, hint: str = "") -> str:
    """Return where a program of this installation is.

    Raises:
        CommandError: It is not installed.
    """
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        raise CommandError(f"{name} is not installed{hint}", BAD_ARGUMENTS)
    return found
