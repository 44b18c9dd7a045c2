"""``ndicloudfs login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import replace
from typing import Any

import click

from ndicloudfs.cli import settings
from ndicloudfs.cli.failure import WRONG_USAGE, Failure
from ndicloudfs.cli.who import CREDENTIALS, own_profile, server_url, who_asks
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import NotSignedIn, WrongCredentials
from ndicloudfs.cloud.profiles import Profile, SignedIn
from ndicloudfs.cloud.values import Organization, User
from ndicloudfs.writeback.waiting import waiting

_TRIES = 3  # at typing a password
_SIGN_OUT_SECONDS = 5.0  # what telling the server may take; the sign-in is forgotten anyway


@click.command()
@settings.flags("profile", "environment", "url")
@click.option("--email", help="E-mail address of the account.  [default: ask]")
@click.option("--organization", help="Organization to work for: name or id.  [default: the first]")
@click.option(
    "--keychain/--no-keychain",
    default=None,
    help="Keep the password in the system's keychain, or only the token.  [default: ask]",
)
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def login(
    email: str | None,
    organization: str | None,
    keychain: bool | None,
    password_stdin: bool,
    **given: Any,
) -> None:
    """Sign in, and stay signed in.

    The password goes to the system's keychain if you agree, and nowhere else. Without a keychain
    only the token is kept, which ends after an hour.

    Example: ndicloudfs login --profile lab --email me@lab.org
    """
    values = settings.resolve(given)
    profile = own_profile(values)
    url = server_url(values)
    earlier = profile.load()
    if earlier is not None and values["url"].weight == values["environment"].weight == 0:
        url = earlier.url
    on_terminal = sys.stdin.isatty()
    if not on_terminal and not (password_stdin and email):
        raise Failure(
            "login asks on a terminal; elsewhere use: "
            "ndicloudfs login --email EMAIL --password-stdin < FILE",
            WRONG_USAGE,
        )
    if email is None:
        email = click.prompt("E-mail", default=earlier.email if earlier else None, err=True)
    config = CloudConfig(url, str(email).strip())
    password, user, signed_in = _sign_in(config, on_terminal and not password_stdin)
    chosen = _organization(user, organization)
    if chosen is not None and (organization or len(user.organizations) == 1):
        signed_in = replace(signed_in, organization_id=chosen.id)
    _show_user(user, signed_in.email, config.host)
    if keychain is None:
        keychain = (
            on_terminal
            and profile.keychain.available
            and click.confirm(
                "Keep the password in the keychain, so that mounts stay signed in?",
                default=True,
                err=True,
            )
        )
    stored = profile.save(signed_in, password if keychain else "")
    _say_what_is_kept(profile, stored, wanted=keychain)
    for name in CREDENTIALS:
        if os.environ.get(name):
            click.echo(f"{name} is set and wins over this sign-in; unset it.", err=True)


@click.command()
@settings.flags("profile")
def logout(**given: Any) -> None:
    """Sign out, and forget the token and the password.

    Mounts go on with what is cached; what waits for upload stays queued.

    Example: ndicloudfs logout --profile lab
    """
    values = settings.resolve(given)
    profile = own_profile(values)
    stored = profile.load()
    if stored is None and not profile.path.exists():
        click.echo(f"Nobody was signed in as profile {profile.name}.")
    else:
        if stored is not None:
            # The token alone: what ends is this sign-in, none is made for it.
            config = CloudConfig(
                stored.url,
                token=stored.token if stored.token.isascii() else "",
                budget=_SIGN_OUT_SECONDS,
                connect_timeout=_SIGN_OUT_SECONDS,
            )
            with NdiCloud(config) as cloud:
                cloud.account.sign_out()
        profile.forget()
        who = f"{stored.email} at {CloudConfig(stored.url).host}" if stored else profile.name
        click.echo(f"Signed out {who}; token and password are forgotten.")
        if stored is not None:
            _say_what_waits(stored)
    for name in CREDENTIALS:
        if os.environ.get(name):
            click.echo(f"{name} is still set; unset it to be signed out.", err=True)


@click.command()
@settings.flags("profile", "environment", "url")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def whoami(as_json: bool, **given: Any) -> None:
    """Show who is signed in, where, for how long, and with which organizations.

    Ends with 3 when nobody is.

    Example: ndicloudfs whoami --json
    """
    who = who_asks(settings.resolve(given))
    with who.cloud() as cloud:
        if cloud.account.anonymous:
            raise NotSignedIn(
                f"Nobody is signed in at NDI Cloud at {who.config.host}; run: ndicloudfs login"
            )
        user = cloud.account.user()
        end, lasting = cloud.account.token_expires, cloud.account.can_sign_in
    if as_json:
        click.echo(
            json.dumps(
                {
                    "email": user.email or who.config.email,
                    "name": user.name,
                    "server": who.config.url,
                    "known_from": who.origin,
                    "token_expires": end,
                    "signs_in_again": lasting,
                    "organizations": [
                        {"id": each.id, "name": each.name, "can_upload": each.can_upload}
                        for each in user.organizations
                    ],
                },
                indent=2,
                ensure_ascii=False,
            )
        )
        return
    _show_user(user, who.config.email, who.config.host)
    click.echo(f"Known from {who.origin}; {life(end, lasting=lasting)}.")


def life(end: float | None, *, lasting: bool) -> str:
    """How long a sign-in lasts, in words; ``end`` is in seconds of the epoch."""
    if lasting:
        return "signs in again by itself"
    if end is None:
        return "its token does not say when it ends"
    left = end - time.time()
    if left <= 0:
        return "its token has expired"
    clock = time.strftime("%H:%M", time.localtime(end))
    return f"its token ends at {clock}, in {max(1, round(left / 60))} min"


def _say_what_waits(stored: SignedIn) -> None:
    host = CloudConfig(stored.url).host
    left = waiting(settings.state_folder(), host, stored.email)
    if left:
        click.echo(
            f"{left} changes of this account are not on the server yet; they stay on this machine "
            "and are sent when it is signed in and mounted again.",
            err=True,
        )


def printable(text: str) -> str:
    """``text`` without what a terminal would take for a command."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _sign_in(config: CloudConfig, on_terminal: bool) -> tuple[str, User, SignedIn]:
    tries = _TRIES if on_terminal else 1
    while True:
        tries -= 1
        if on_terminal:
            password = click.prompt("Password", hide_input=True, err=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
        with NdiCloud(replace(config, password=password)) as cloud:
            try:
                return password, cloud.account.sign_in(), cloud.account.signed_in()
            except WrongCredentials as error:
                sentence = str(error).replace(
                    "check NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD", "type them again"
                )
                if not tries:
                    raise WrongCredentials(sentence) from None
                click.echo(sentence, err=True)


def _organization(user: User, wanted: str | None) -> Organization | None:
    if wanted is None:
        return user.organizations[0] if user.organizations else None
    for organization in user.organizations:
        if wanted in (organization.id, organization.name):
            return organization
    names = ", ".join(organization.name for organization in user.organizations) or "none"
    raise Failure(f"{user.email} has no organization {wanted!r}; there are: {names}")


def _show_user(user: User, email: str, host: str) -> None:
    name = f"{user.name} <{user.email or email}>" if user.name else user.email or email
    click.echo(f"Signed in as {printable(name)} at {host}.")
    for organization in user.organizations:
        rights = "may upload" if organization.can_upload else "read only"
        name = printable(organization.name) or "(no name)"
        click.echo(f"  {name}  {organization.id}  {rights}")
    if not user.organizations:
        click.echo("  no organizations; published data can be read")


def _say_what_is_kept(profile: Profile, stored: SignedIn, *, wanted: bool) -> None:
    if stored.in_keychain:
        click.echo("The password is in the keychain; mounts stay signed in.", err=True)
        return
    if wanted:
        click.echo(
            "The password could not be kept: there is no keychain here; "
            "install one with: pip install 'ndicloudfs[keyring]'",
            err=True,
        )
    end = life(stored.until or None, lasting=False)
    click.echo(
        f"Only the token is kept, in {profile.path}; {end}. "
        f"After that, a mount shows what is cached until: {profile.advice}",
        err=True,
    )
