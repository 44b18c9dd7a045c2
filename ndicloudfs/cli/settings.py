"""The table of settings, and where each gets its value: ``config.toml``, environment, flags.

One row of ``SETTINGS`` makes the flag, the key of the file, the variable, the line of
``ndicloudfs config`` and the row of docs/reference/settings.md. What comes later weighs more:
default, file, table ``[profiles.NAME]`` of the file, environment, flag.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

from ndicloudfs.cache.local import METADATA_TTL
from ndicloudfs.cli import quantities
from ndicloudfs.cli.failure import WRONG_USAGE, Failure
from ndicloudfs.cloud.config import ENVIRONMENTS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

APPLICATION = "ndicloudfs"
FILE_VARIABLE = "NDICLOUDFS_CONFIG"
DEFAULT_PROFILE = "default"
SHUTDOWN_TIMEOUT = 30.0  # s; systemd waits 90 before it kills
LEAST_PACE, MOST_PACE = 0.001, 10.0
_PROFILES = "profiles"  # the table of tables in the file

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Kind:
    """How a value is written. ``read`` raises click.BadParameter for what it cannot read."""

    metavar: str
    read: Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of the table. ``name`` is the key in the file and, with ``--``, the flag."""

    name: str
    kind: Kind
    default: Any
    default_shown: str
    variable: str
    help: str

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return f"--{self.name}"

    @property
    def parameter(self) -> str:
        """The name of the flag's value in the parameters of a command."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, where that comes from, and how much the place weighs (0: default)."""

    setting: Setting
    value: Any
    origin: str
    weight: int

    @property
    def shown(self) -> str:
        """The value as ``ndicloudfs config`` prints it."""
        if self.weight == 0:
            return self.setting.default_shown
        return str(self.value).lower() if isinstance(self.value, bool) else str(self.value)


def _text(text: str) -> str:
    if not text.isprintable():
        raise click.BadParameter(f"{text!r} has characters that nothing can show")
    return text


def _path(text: str) -> Path:
    return Path(text).expanduser()


def _environment(text: str) -> str:
    if text not in ENVIRONMENTS:
        raise click.BadParameter(f"{text!r} names no NDI Cloud; use {' or '.join(ENVIRONMENTS)}")
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise click.BadParameter(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def _switch(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[
            text.lower()
        ]
    except KeyError:
        raise click.BadParameter(f"{text!r} is neither true nor false") from None


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not LEAST_PACE <= number <= MOST_PACE:
        raise click.BadParameter(f"{text!r} is not a number from {LEAST_PACE} to {MOST_PACE}")
    return number


LEVELS = ("debug", "info", "warning", "error")


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise click.BadParameter(f"{text!r} is no level; use {', '.join(LEVELS)}")
    return text.lower()


TEXT = Kind("TEXT", _text)
FOLDER = Kind("DIRECTORY", _path)
FILE = Kind("FILE", _path)
SIZE = Kind("SIZE", quantities.size)
SECONDS = Kind("SECONDS", quantities.time)
PORT = Kind("PORT", _port)
NUMBER = Kind("NUMBER", _number)
SWITCH = Kind("true|false", _switch)
ENVIRONMENT = Kind("|".join(ENVIRONMENTS), _environment)
LEVEL = Kind("|".join(LEVELS), _level)


def default_cache_folder() -> Path:
    """Where the cache is unless ``cache-dir`` says otherwise."""
    return platformdirs.user_cache_path(APPLICATION, appauthor=False)


def log_folder() -> Path:
    """Where background mounts log unless ``log-file`` says otherwise."""
    return platformdirs.user_log_path(APPLICATION, appauthor=False)


def state_folder() -> Path:
    """Where what was written is kept until the server has it; nothing else deletes there."""
    return platformdirs.user_state_path(APPLICATION, appauthor=False) / "writeback"


SETTINGS = (
    Setting(
        *("profile", TEXT, DEFAULT_PROFILE, DEFAULT_PROFILE, "NDICLOUDFS_PROFILE"),
        "Which sign-in to use: a name that `login --profile` was given.",
    ),
    Setting(
        *("environment", ENVIRONMENT, "prod", "prod", "CLOUD_API_ENVIRONMENT"),
        "Which NDI Cloud to use.",
    ),
    Setting(
        *("url", TEXT, "", "the one of environment", "NDI_CLOUD_URL"),
        "Address of another NDI Cloud, with /v1 at its end.",
    ),
    Setting(
        *("cache-dir", FOLDER, None, "the user's cache folder", "NDICLOUDFS_CACHE_DIR"),
        "Folder of the cache, on a disk of this machine.",
    ),
    Setting(
        *("cache-size", SIZE, None, "20GiB or a quarter of the free space, whichever is less"),
        *("NDICLOUDFS_CACHE_SIZE", "Most that the cache may take, such as 50GiB."),
    ),
    Setting(
        *("metadata-ttl", SECONDS, METADATA_TTL, f"{METADATA_TTL:g}", "NDICLOUDFS_METADATA_TTL"),
        "How long listings are believed before they are refreshed in the background.",
    ),
    Setting(
        *("allow-delete-datasets", SWITCH, False, "false", "NDICLOUDFS_ALLOW_DELETE_DATASETS"),
        "Let rmdir delete a dataset; the server keeps it for 7 days.",
    ),
    Setting(
        *("write-pace", NUMBER, 1.0, "1", "NDICLOUDFS_WRITE_PACE"),
        "Factor of all times of writing back: less sends sooner, in smaller batches.",
    ),
    Setting(
        *("offline", SWITCH, False, "false", "NDICLOUDFS_OFFLINE"),
        "Never use the network: show what is remembered and cached.",
    ),
    Setting(
        *("metrics", PORT, None, "none", "NDICLOUDFS_METRICS"),
        "Port of this machine at which Prometheus finds the figures of a mount.",
    ),
    Setting(
        *("shutdown-timeout", SECONDS, SHUTDOWN_TIMEOUT, f"{SHUTDOWN_TIMEOUT:g}"),
        "NDICLOUDFS_SHUTDOWN_TIMEOUT",
        "How long a mount that is told to end goes on uploading; the rest stays queued.",
    ),
    Setting(
        *("log-level", LEVEL, "info", "info", "NDICLOUDFS_LOG_LEVEL"),
        "Least weight of what is logged; debug shows every call to the server.",
    ),
    Setting(
        *(
            "log-file",
            FILE,
            None,
            "one for each mount in the user's log folder",
            "NDICLOUDFS_LOG_FILE",
        ),
        "Log of background mounts; it is rotated.",
    ),
)
BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_PARAMETER = {setting.parameter: setting for setting in SETTINGS}


class Settings(Mapping[str, Value]):
    """The settings of one command, each with its value and origin."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self._values = dict(values)

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def of(self, name: str) -> Any:
        """The value of a setting."""
        return self._values[name].value


def flags(*names: str) -> Callable[[F], F]:
    """Give a command the flags of settings, in the order of ``names``."""

    def decorate(command: F) -> F:
        for name in reversed(names):
            setting = BY_NAME[name]
            text = f"{setting.help}  [default: {setting.default_shown}]"
            if setting.kind is SWITCH:
                flag = f"{setting.flag}/--no-{setting.name}"
                option = click.option(flag, setting.parameter, default=None, help=text)
            else:
                metavar = setting.kind.metavar
                option = click.option(setting.flag, setting.parameter, metavar=metavar, help=text)
            command = option(command)
        return command

    return decorate


def file_path(environ: Mapping[str, str]) -> Path:
    """Where ``config.toml`` is."""
    named = environ.get(FILE_VARIABLE, "")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_config_path(APPLICATION, appauthor=False) / "config.toml"


def resolve(given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
    """All settings; ``given`` are the parameters of a command, of which those of flags count.

    Raises ``Failure`` (wrong usage) for what cannot be read and for unknown keys.
    """
    environ = os.environ if environ is None else environ
    path = file_path(environ)
    table = _load(path)
    profiles = table.pop(_PROFILES, {}) if isinstance(table.get(_PROFILES), dict) else {}
    for name, inner in profiles.items():
        if not isinstance(inner, dict):
            raise _wrong(f"profiles.{name} in {path} is no table of settings")
        _check(inner, f"[profiles.{name}] of {path}")
    _check(table, str(path))
    flags_given = {
        setting.name: _as_text(given[setting.parameter])
        for setting in SETTINGS
        if given.get(setting.parameter) is not None
    }
    variables = {
        setting.name: environ[setting.variable].strip()
        for setting in SETTINGS
        if environ.get(setting.variable, "").strip()
    }
    profile = (
        flags_given.get("profile") or variables.get("profile") or _as_text(table.get("profile"))
    )
    own = profiles.get(profile or DEFAULT_PROFILE, {})
    values = {}
    for setting in SETTINGS:
        value = Value(setting, setting.default, "default", 0)
        for weight, (texts, origin) in enumerate(
            (
                (table, f"{path}"),
                (own, f"{path} [profiles.{profile or DEFAULT_PROFILE}]"),
                (variables, setting.variable),
                (flags_given, setting.flag),
            ),
            start=1,
        ):
            if setting.name in texts:
                value = _read(setting, _as_text(texts[setting.name]), origin, weight)
        values[setting.name] = value
    return Settings(values)


def nearest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """A hint at the name that was probably meant, ``""`` where none is near."""
    found = difflib.get_close_matches(name.replace("_", "-"), list(known), 1)
    return f"; did you mean {found[0]}?" if found else ""


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _wrong(f"{path} cannot be read: {error}; correct it or move it away") from None
    except OSError as error:
        raise _wrong(f"{path} cannot be read: {error.strerror}; see to its permissions") from None


def _check(table: Mapping[str, Any], where: str) -> None:
    for key in table:
        if key not in BY_NAME:
            hint = nearest(key, BY_NAME) or "; see: ndicloudfs config"
            raise _wrong(f"{key} in {where} is no setting{hint}")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(setting: Setting, text: str, origin: str, weight: int) -> Value:
    try:
        return Value(setting, setting.kind.read(text), origin, weight)
    except click.BadParameter as error:
        raise _wrong(f"{setting.name} ({origin}): {error.message}") from None


def _wrong(sentence: str) -> Failure:
    return Failure(sentence, WRONG_USAGE)
