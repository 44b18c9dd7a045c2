"""``ndicloudfs completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

VARIABLE = "_NDICLOUDFS_COMPLETE"  # what click reads when the shell asks
_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash  eval "$(ndicloudfs completion bash)"    in ~/.bashrc
    zsh   eval "$(ndicloudfs completion zsh)"     in ~/.zshrc, after compinit
    fish  ndicloudfs completion fish >~/.config/fish/completions/ndicloudfs.fish

    Example: eval "$(ndicloudfs completion bash)"
    """  # noqa: D301 - click wants the character itself
    from ndicloudfs.cli.main import ndicloudfs  # noqa: PLC0415 - it imports this module

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(
            f"there is no completion for {shell}; there is for bash, zsh and fish"
        )
    click.echo(kind(ndicloudfs, {}, "ndicloudfs", VARIABLE).source())
