"""The pages of docs/reference/ and the manual page, made from the code that they are about."""

from __future__ import annotations

import ast
import inspect
import os
import re
from collections.abc import Iterator
from errno import errorcode
from pathlib import Path

import click

import ndicloudfs as package
from ndicloudfs import __version__
from ndicloudfs.cli import failure, settings
from ndicloudfs.cli.main import commands
from ndicloudfs.cli.main import ndicloudfs as group
from ndicloudfs.cli.mount_options import ACCEPTED, APPLIED
from ndicloudfs.cloud import errors as cloud_errors

_MADE = "<!-- Made by scripts/docs from the code; change the code. -->\n"
_WIDTH = 92
_NO_WORDS = frozenset({"self", "str", "len", "join", "r", "or", "if", "else"})

EXIT_CODES = (
    (0, "done"),
    (failure.FAILED, "failed: the sentence on standard error says why"),
    (failure.WRONG_USAGE, "wrong usage: an option, an argument, a setting or a variable"),
    (failure.NOT_SIGNED_IN, "not signed in, or the sign-in has expired"),
    (failure.OFFLINE, "offline: the server cannot be reached or does not answer in time"),
    (failure.INTERRUPTED, "interrupted by Ctrl-C"),
)


def pages() -> dict[str, str]:
    """Every page by its path below the checkout."""
    return {
        "docs/reference/commands.md": _commands(),
        "docs/reference/settings.md": _settings(),
        "docs/reference/exit-codes.md": _exit_codes(),
        "docs/reference/messages.md": _messages(),
        "docs/man/ndicloudfs.1": _manual(),
    }


def _commands() -> str:
    parts = ["# Commands\n", _MADE]
    parts.append("`-h` or `--help` behind any of them shows the same.\n")
    for words, command in sorted(commands()):
        name = " ".join(("ndicloudfs", *words))
        usage, text, example, options = _described(words, command)
        parts += [f"## {name}\n", f"```\n{usage}\n```\n", text + "\n"]
        if example:
            parts.append(f"```sh\n{example}\n```\n")
        rows = [f"| `{_cell(flag)}` | {_cell(meaning)} |" for flag, meaning in options]
        parts.append("\n".join(["| Option | Meaning |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _described(
    words: tuple[str, ...], command: click.Command
) -> tuple[str, str, str, list[tuple[str, str]]]:
    """Usage, text, example and options of a command."""
    context = click.Context(
        command,
        info_name=" ".join(("ndicloudfs", *words)),
        max_content_width=_WIDTH,
        terminal_width=_WIDTH,
        help_option_names=group.context_settings["help_option_names"],
    )
    usage = re.sub(r"\s+", " ", command.get_usage(context)).removeprefix("Usage: ")
    text, _, example = inspect.cleandoc(command.help or "").partition("Example: ")
    text = text.replace("\b\n", "").strip()
    options = [
        record
        for parameter in command.get_params(context)
        if (record := parameter.get_help_record(context)) is not None
    ]
    return usage, text, example.strip(), options


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _settings() -> str:
    rows = [
        f"| `{each.name}` | {_cell(each.kind.metavar)} | {_cell(each.default_shown)} "
        f"| `{each.variable}` | {_cell(each.help)} |"
        for each in settings.SETTINGS
    ]
    options = [f"| `{name}` | {_cell(meaning)} |" for name, meaning in APPLIED.items()]
    accepted = ", ".join(f"`{name}`" for name in sorted(ACCEPTED))
    return f"""# Settings

{_MADE}
Each setting may stand in `config.toml`, in the environment, or on the command line as a flag of
its name (`--cache-size 50GiB`); what comes later weighs more. `ndicloudfs config` shows each with
its value and where that comes from.

| Setting | Type | Default | Variable | Meaning |
|---|---|---|---|---|
{chr(10).join(rows)}

The file is `~/.config/ndicloudfs/config.toml` on Linux; `NDICLOUDFS_CONFIG` names another one.
A table `[profiles.NAME]` in it holds for that profile only:

```toml
cache-size = "50GiB"

[profiles.dev]
environment = "dev"
metadata-ttl = "5s"
```

A key that is no setting is an error. The account comes from `ndicloudfs login`, or from
`NDI_CLOUD_USERNAME` and `NDI_CLOUD_PASSWORD`, or from `NDI_CLOUD_TOKEN`; these variables win.
`NDI_CLOUD_ORGANIZATION_ID` chooses an organization. Passwords and tokens are no settings.

## Options of `-o`

Every setting can be given as `-o name=value`, too, so that a line of `/etc/fstab` can hold it.

| Option | Meaning |
|---|---|
{chr(10).join(options)}

These are for mount(8) and systemd, and accepted: {accepted}, and all that begin with `x-`.
"""


def _exit_codes() -> str:
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES)
    return f"""# Exit codes

{_MADE}
| Code | Meaning |
|---|---|
{rows}

Errors are one sentence on standard error, with what to do next; `ndicloudfs --debug COMMAND` shows
the traceback as well.
"""


def _messages() -> str:
    parts = [
        "# Messages\n",
        _MADE,
        "Every sentence that an error of ndicloudfs can be, by its class: what happened, to what,",
        "and what to do next. Words in braces stand for what it is about. The errno is what",
        "programs see in a mount; the exit code is that of a command which ends with it.\n",
    ]
    sentences = _sentences()
    for name, kind in sorted(_error_classes().items()):
        told = sentences.get(name)
        if not told:
            continue
        number = getattr(kind, "errno", None)
        errno = f"`{errorcode[number]}`, " if isinstance(number, int) else ""
        meaning = inspect.getdoc(kind) or ""
        parts.append(f"## {name}\n\n{errno}exit code {_code(kind)}. {meaning.splitlines()[0]}\n")
        parts += [f"- {_cell(sentence)}" for sentence in sorted(set(told))]
        parts.append("")
    return "\n".join(parts)


def _error_classes() -> dict[str, type[BaseException]]:
    """The errors that commands and mounts end with."""
    found: dict[str, type[BaseException]] = {}
    waiting: list[type[BaseException]] = [cloud_errors.CloudError, *failure.SENTENCES]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.startswith("ndicloudfs"):
            found[kind.__name__] = kind
            waiting += kind.__subclasses__()
    return found


def _code(kind: type[BaseException]) -> int:
    error = kind.__new__(kind)
    BaseException.__init__(error, "")
    found = failure.failure_of(error)
    return failure.FAILED if found is None else int(found.exit_code)


def _sentences() -> dict[str, list[str]]:
    """The texts that errors are raised with, by the name of the class, out of the source."""
    found: dict[str, list[str]] = {}
    for file in sorted(Path(package.__file__).parent.rglob("*.py")):
        if "sandbox" in file.parts:
            continue
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                for text in _texts(call.args[0]):
                    found.setdefault(call.func.id, []).append(text)
    return found


def _texts(node: ast.expr) -> Iterator[str]:
    """What a string expression can be, with ``{words}`` for what is put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else f"{{{_named(part)}}}"
            for part in node.values
        )
    elif isinstance(node, ast.IfExp):
        yield from _texts(node.body)
        yield from _texts(node.orelse)


def _named(part: ast.AST) -> str:
    """A word for an expression: its last name."""
    names = re.findall(
        r"[A-Za-z_]+", ast.unparse(part.value if isinstance(part, ast.FormattedValue) else part)
    )
    kept = [name for name in names if name not in ("self", "str", "len", "join", "r", "or", "if")]
    return kept[-1].strip("_").replace("_", " ") if kept else "..."


def _manual() -> str:
    lines = [
        f'.TH NDICLOUDFS 1 "" "ndicloudfs {__version__}" "User Commands"',
        ".SH NAME",
        "ndicloudfs \\- mount NDI Cloud as a directory",
        ".SH SYNOPSIS",
        ".B ndicloudfs",
        ".I COMMAND",
        "[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]",
        ".SH DESCRIPTION",
        _roff(inspect.cleandoc(group.help or "")),
        ".SH COMMANDS",
    ]
    for words, command in sorted(commands()):
        usage, text, example, options = _described(words, command)
        lines += [f".SS {_roff(' '.join(words))}", ".nf", _roff(usage), ".fi"]
        lines += [".PP", _roff(text)]
        for flag, meaning in options:
            lines += [".TP", f"\\fB{_roff(flag)}\\fR", _roff(meaning)]
        if example:
            lines += [".PP", "Example:", ".PP", ".nf", _roff(example), ".fi"]
    lines += [".SH SETTINGS"]
    for each in settings.SETTINGS:
        lines += [".TP", f"\\fB{_roff(each.name)}\\fR, \\fB{each.variable}\\fR", _roff(each.help)]
    lines += [".SH EXIT STATUS"]
    for code, meaning in EXIT_CODES:
        lines += [".TP", f"\\fB{code}\\fR", _roff(meaning)]
    lines += [".SH FILES", ".TP", "\\fI~/.config/ndicloudfs/config.toml\\fR", "Settings."]
    lines += [".TP", "\\fI~/.cache/ndicloudfs\\fR", "The cache; it may be deleted."]
    lines += [".TP", "\\fI~/.local/state/ndicloudfs\\fR"]
    lines += ["Sign-ins, logs, and what waits for upload; it must not be deleted."]
    lines += [".SH SEE ALSO", ".BR mount (8),", ".BR fusermount3 (1)"]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """``text`` as roff has it: no line is a request, no character a command."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return "\n".join(f"\\&{line}" if line[:1] in ".\\" else line for line in text.splitlines())


@click.command(hidden=True)
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
def reference(folder: Path) -> None:
    """Write the pages below FOLDER, a checkout.

    Example: ndicloudfs reference .
    """
    for name, text in pages().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        click.echo(os.fspath(path))
