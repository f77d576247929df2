"""AWS Secrets Manager as a source: which settings take their value from which secret."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from jobqueue_core.ports.secrets import SecretError, SecretReader
from jobqueue_core.settings.errors import SettingProblem
from jobqueue_core.settings.layers import SECRET_SOURCE, Layer, Tree, flat, put, value_at
from jobqueue_core.settings.schema import Kind, Setting, find
from jobqueue_core.settings.service_sections import SecretRefSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

SECRETS = "secrets"


@dataclass(frozen=True, slots=True)
class Reference:
    """A setting and the secret that holds its value."""

    setting: Setting
    name: str
    path: tuple[str, ...]
    ref: SecretRefSettings

    @property
    def source(self) -> str:
        """The name of the source in messages."""
        return f"{SECRET_SOURCE}{self.ref.secret_id}"


def secret_target(name: str) -> Setting | None:
    """Return the setting that an entry of `secrets` gives a value to; None where there is none such."""
    path = tuple(name.split("."))
    return find(path) if path[0] != SECRETS and "" not in path else None


def references(values: Mapping[str, object], overridden: Mapping[str, object]) -> tuple[Reference, ...]:
    """Return what to read: the valid entries of `secrets` (the model refuses the others later).

    Args:
        values: Every layer but the secrets, merged.
        overridden: The layer above the secrets. What it sets as a whole is not read: it could have no effect,
            and a process should not need access to a secret that it does not use.
    """
    found: list[Reference] = []
    entries = values.get(SECRETS)
    for name, entry in entries.items() if isinstance(entries, dict) else ():
        setting = secret_target(name)
        if setting is None:
            continue
        try:
            ref = SecretRefSettings.model_validate(entry)
        except ValidationError:
            continue
        path = tuple(name.split("."))
        merges = setting.kind in {Kind.SECTION, Kind.MAPPING}
        if merges or value_at(overridden, path) is None:
            found.append(Reference(setting, name, path, ref))
    return tuple(found)


async def read_secrets(
    wanted: tuple[Reference, ...], reader: SecretReader
) -> tuple[Layer, tuple[SettingProblem, ...]]:
    """Read every secret once, all at the same time, and return the settings that they hold."""
    ids = tuple(dict.fromkeys(reference.ref.secret_id for reference in wanted))
    texts = dict(
        zip(ids, await asyncio.gather(*(_read(reader, secret_id) for secret_id in ids)), strict=True)
    )
    values: Tree = {}
    problems: list[SettingProblem] = []
    sources: dict[tuple[str | int, ...], str] = {}
    for reference in wanted:
        text = texts[reference.ref.secret_id]
        try:
            value = _value(reference, text)
        except SecretError as error:
            problems.append(SettingProblem(reference.name, str(error), source=reference.source))
            continue
        put(values, reference.path, value)
        below = flat(value, reference.path) if isinstance(value, dict) else (reference.path,)
        sources.update(dict.fromkeys(below, reference.source))
    return Layer(values, sources), tuple(problems)


async def _read(reader: SecretReader, secret_id: str) -> str | SecretError:
    try:
        return await reader.read(secret_id)
    except SecretError as error:
        return error


def _value(reference: Reference, text: str | SecretError) -> object:
    """Return the value for a setting, decoded as far as the setting is no single value."""
    if isinstance(text, SecretError):
        raise text
    secret_id, key = reference.ref.secret_id, reference.ref.key
    value: object = text
    if key is not None:
        whole = _decoded(secret_id, text, f'must hold a JSON object with the key "{key}", and holds no JSON')
        if not isinstance(whole, dict):
            raise SecretError(
                secret_id, f'must hold a JSON object with the key "{key}", and holds other JSON'
            )
        if key not in whole:
            rule = f'has no key "{key}": add it to the secret, or correct {SECRETS}."{reference.name}".key'
            raise SecretError(secret_id, rule)
        value = whole[key]
    if isinstance(value, str):
        if reference.setting.kind is Kind.VALUE:
            return value.rstrip("\r\n")  # files and shells add the end of a line when a secret is stored
        kind = "list" if reference.setting.kind is Kind.LIST else "object"
        where = f'under the key "{key}" ' if key is not None else ""
        return _decoded(
            secret_id, value, f"must hold a JSON {kind} {where}for this setting, and holds no JSON"
        )
    return value


def _decoded(secret_id: str, text: str, problem: str) -> object:
    try:
        decoded: object = json.loads(text)
    except ValueError:
        # The decoder's own message carries the text, which is secret.
        raise SecretError(secret_id, problem) from None
    return decoded
