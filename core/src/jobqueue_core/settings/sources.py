"""The files: YAML laid over each other, every value with the line it stands on."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

import yaml
from pydantic_settings import BaseSettings, SettingsConfigDict, YamlConfigSettingsSource

from jobqueue_core.settings.errors import SettingProblem
from jobqueue_core.settings.layers import Layer, Tree
from jobqueue_core.settings.model import Settings
from jobqueue_core.settings.schema import ENV_DELIMITER, ENV_PREFIX, Kind, Path, dotted, find

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

BASE_FILE = "application.yaml"
DEFAULT_DIR = FilePath("config")

_ENVIRONMENT = re.compile(r"[A-Za-z0-9_-]{1,63}\Z")
_QUOTED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*\"""")
_STR_TAG = "tag:yaml.org,2002:str"
_MERGE_TAG = "tag:yaml.org,2002:merge"


class SourceSchema(Settings, BaseSettings):
    """The settings as the sources of pydantic-settings see them; never instantiated."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, env_parse_none_str="null"
    )


def config_files(
    env: Mapping[str, str], config_dir: FilePath | None
) -> tuple[tuple[FilePath, ...], tuple[SettingProblem, ...]]:
    """Return the files to read, in order, and what is wrong with the folder and environment that were named.

    The base file may be missing only where no folder was named: the environment can then say everything.
    """
    named = env.get("JOBQUEUE_CONFIG_DIR") or None
    folder = config_dir or FilePath(named or DEFAULT_DIR)
    source = f"env JOBQUEUE_CONFIG_DIR={named}" if named and not config_dir else None
    explicit = config_dir is not None or named is not None
    if explicit and not folder.is_dir():
        return (), (SettingProblem(str(folder), "the configuration folder does not exist", source=source),)
    files: list[FilePath] = []
    problems: list[SettingProblem] = []
    base = folder / BASE_FILE
    if base.is_file():
        files.append(base)
    elif explicit:
        problems.append(SettingProblem(str(base), "the file does not exist", source=source))
    environment = env.get("JOBQUEUE_ENV") or None
    if environment and not _ENVIRONMENT.match(environment):
        rule = "must be 1 to 63 letters, digits, - and _: it names application.<JOBQUEUE_ENV>.yaml"
        problems.append(SettingProblem("JOBQUEUE_ENV", rule, source="env JOBQUEUE_ENV"))
    elif environment:
        own = folder / f"application.{environment}.yaml"
        if own.is_file():
            files.append(own)
        else:
            source = f"env JOBQUEUE_ENV={environment}"
            problems.append(SettingProblem(str(own), "the file does not exist", source=source))
    return tuple(files), tuple(problems)


class YamlFiles(YamlConfigSettingsSource):
    """YAML files, later over earlier; problems are collected, never raised."""

    def __init__(self, files: tuple[FilePath, ...]) -> None:
        self.sources: dict[Path, str] = {}
        self.problems: list[SettingProblem] = []
        super().__init__(SourceSchema, yaml_file=list(files), deep_merge=True)

    def __call__(self) -> Tree:
        """Return the merged values exactly as written: the base class would fold the case of the keys."""
        return self.yaml_data

    def layer(self) -> Layer:
        """Return the values and the lines they stand on."""
        return Layer(self(), self.sources)

    def _read_file(self, file_path: FilePath | Traversable) -> Tree:
        file = str(file_path)
        try:
            loader = yaml.SafeLoader(file_path.read_text(encoding="utf-8"))
            node = loader.get_single_node()
            value = loader.construct_document(node) if node is not None else {}
        except yaml.MarkedYAMLError as error:
            self.problems.append(_syntax_problem(file, error))
            return {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            # Their messages may quote the text, which may hold a password.
            self.problems.append(
                SettingProblem(file, f"cannot be read as YAML in UTF-8: {type(error).__name__}")
            )
            return {}
        if not isinstance(value, dict):
            if value is not None:
                self.problems.append(SettingProblem(file, "must be a mapping of sections"))
            return {}
        self._note(file, node, ())
        return _tidy(value, ())

    def _note(
        self, file: str, node: yaml.Node | None, path: tuple[str, ...], above: tuple[int, ...] = ()
    ) -> None:
        if not isinstance(node, yaml.MappingNode) or id(node) in above:
            return
        seen: set[str] = set()
        for key, value in node.value:
            line = f"{file}:{key.start_mark.line + 1}"
            at = (*path, str(key.value))
            if key.tag not in {_STR_TAG, _MERGE_TAG}:
                self.problems.append(
                    SettingProblem(dotted(at), "a key must be text: quote it", source=f"file {line}")
                )
            elif key.value in seen:
                self.problems.append(
                    SettingProblem(dotted(at), "set twice in one mapping", source=f"file {line}")
                )
            seen.add(str(key.value))
            self.sources[at] = f"file {line}"
            self._note(file, value, at, (*above, id(node)))


def _tidy(tree: Mapping[object, object], path: Path) -> Tree:
    return {
        key: value for key, value in _entries(tree, path) if value is not None or not _is_group((*path, key))
    }


def _entries(tree: Mapping[object, object], path: Path) -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(key, str):  # other keys were reported where they stand
            yield key, _tidy(value, (*path, key)) if isinstance(value, dict) else value


def _is_group(path: Path) -> bool:
    """Whether a path is a section or a mapping: with all its lines commented out it is not set."""
    setting = find(path)
    return setting is not None and setting.kind in {Kind.SECTION, Kind.MAPPING}


def _is_of_yaml(quoted: str) -> bool:
    return len(quoted) <= len("' '") or quoted[1] == "<"


def _syntax_problem(file: str, error: yaml.MarkedYAMLError) -> SettingProblem:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    # What is quoted may be the user's own text (`password: *abc`); the names of tokens (`'<scalar>'`) stay.
    problem = _QUOTED.sub(
        lambda quoted: quoted[0] if _is_of_yaml(quoted[0]) else "…", error.problem or "not YAML"
    )
    return SettingProblem(file, f"{where}{problem}")
