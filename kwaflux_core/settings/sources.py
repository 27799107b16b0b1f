"""Gather settings from a file, the environment and flags; the later one wins."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from kwaflux_core.errors import SettingsError
from kwaflux_core.settings.fields import Rule, Setting
from kwaflux_core.suggestions import shortened, suggestion

__all__ = ["OTHER_VARIABLES", "PREFIX", "gathered"]

PREFIX = "KWAFLUX_"
OTHER_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "KWAFLUX_CACHE_DIR": "where pictures to train on and other downloads are kept",
        "KWAFLUX_COMMAND": "the kwaflux program that a host starts the server with, instead of "
        "the one that kwaflux install wrote down",
        "KWAFLUX_RESOLVE_DIR": "the folder of the installed adapter for Resolve, where it is none "
        "of Resolve's own",
        "KWAFLUX_RUNTIME_DIR": "the private directory that holds the server's socket and log",
        "KWAFLUX_SETTINGS_FILE": "the settings file, instead of the one in the home directory",
    }
)
"""``KWAFLUX_*`` variables that are no settings, and what they do."""

_FILE_BYTES_MAX = 1 << 20


def gathered(
    section: str,
    sections: Mapping[str, Mapping[str, Rule]],
    *,
    environ: Mapping[str, str],
    other_variables: Collection[str],
    file: Path | None,
    flags: Mapping[str, object],
) -> dict[str, Setting]:
    """Return what was set for one section, read and checked; defaults are left out.

    Args:
        section: The table of the file whose settings are wanted.
        sections: The rules of every table's settings.
        environ: The environment. Variables of the other sections are let pass.
        other_variables: ``KWAFLUX_*`` variables that are no settings.
        file: A TOML file, or None.
        flags: Settings by name; None counts as not given.

    Raises:
        SettingsError: A name that is not known, a value that is not accepted, no such file.
    """
    rules = sections[section]
    names = {name for table in sections.values() for name in table}
    sources = (
        _from_file(section, sections, file),
        _from_environment(environ, names, other_variables),
        _from_flags(rules, flags),
    )
    return {
        name: rules[name].read(raw, name=name, where=where)
        for source in sources
        for name, raw, where in source
        if name in rules
    }


def _from_file(
    section: str, sections: Mapping[str, Mapping[str, Rule]], file: Path | None
) -> Iterator[tuple[str, object, str]]:
    tables = {} if file is None else _read_toml(file)
    for table, content in tables.items():
        if table not in sections or not isinstance(content, Mapping):
            kind = "the tables of a settings file"
            raise SettingsError(
                f"{file} holds {shortened(table)}, which is no table of settings",
                hint=suggestion(table, sections, kind=kind),
                setting=table,
            )
        for name, raw in content.items():
            if name not in sections[table]:
                _refuse(name, f"{table}.{name} in {file}", sections[table])
            if table == section:
                yield name, raw, f"{table}.{name} in {file}"


def _from_environment(
    environ: Mapping[str, str], names: Collection[str], other_variables: Collection[str]
) -> Iterator[tuple[str, object, str]]:
    known = {PREFIX + name.upper(): name for name in sorted(names)}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in other_variables:
            continue
        if variable not in known:
            _refuse(variable, f"the variable {variable}", [*known, *other_variables])
        if environ[variable]:
            yield known[variable], environ[variable], variable


def _from_flags(
    rules: Mapping[str, Rule], flags: Mapping[str, object]
) -> Iterator[tuple[str, object, str]]:
    for name, raw in flags.items():
        if name not in rules:
            _refuse(name, f"the flag {shortened(name)}", rules)
        if raw is not None:
            yield name, raw, f"--{name.replace('_', '-')}"


def _refuse(name: str, where: str, known: Collection[str]) -> None:
    raise SettingsError(
        f"{where} is no setting", hint=suggestion(name, known, kind="the settings"), setting=name
    )


def _read_toml(file: Path) -> dict[str, object]:
    try:
        import tomllib  # only a file needs it, and Python 3.10 has none
    except ImportError as error:
        raise SettingsError(
            f"{file} cannot be read: this Python has no TOML reader",
            hint="use Python 3.11 or newer, or set KWAFLUX_* variables instead",
            path=str(file),
        ) from error
    try:
        with file.open("rb") as opened:
            content = opened.read(_FILE_BYTES_MAX + 1)
        if len(content) > _FILE_BYTES_MAX:
            raise ValueError("it has more than 1 MiB")
        found: dict[str, object] = tomllib.loads(content.decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(
            f"the settings file {file} cannot be read: {why}",
            hint="correct it, or name another one",
            path=str(file),
        ) from error
    return found
