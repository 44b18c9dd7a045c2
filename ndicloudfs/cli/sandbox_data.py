"""``ndicloudfs sandbox load`` and ``ndicloudfs sandbox sample``: datasets for a running sandbox."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ndicloudfs.cli import quantities
from ndicloudfs.cli.failure import Failure, failure_of
from ndicloudfs.cli.sandbox import is_loopback
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.cloud.values import Json, is_cloud_id
from ndicloudfs.integrations.folder import FolderError, scan
from ndicloudfs.integrations.loading import Loader, NotLoaded, ObjectToLoad, Progress
from ndicloudfs.sandbox.control import ControlError, create_dataset
from ndicloudfs.sandbox.sample import sample as make_sample

LINE_INTERVAL = 5.0  # s between two lines of progress where there is no terminal

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class _Order:
    """A dataset to make: what of, and what to do with it then."""

    fields: Json
    documents: Iterable[Json]
    document_count: int
    objects: Iterable[ObjectToLoad]
    object_count: int
    dataset_id: str | None
    publish: bool


def _common(command: F) -> F:
    """The options that both commands have."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print a JSON object, not the id."),
        click.option("--publish", is_flag=True, help="Publish the dataset when it is complete."),
        click.option(
            "--id",
            "dataset_id",
            metavar="CLOUD_ID",
            help="The dataset's id: 24 hex digits.  [default: the server's choice]",
        ),
        click.option(
            "--ready-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File that `sandbox serve` wrote when it was ready.  [default: the sandbox of "
            "NDI_CLOUD_URL, NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD]",
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", required=True, help="Name of the dataset.")
@_common
def load(
    folder: Path,
    name: str,
    ready_file: Path | None,
    dataset_id: str | None,
    publish: bool,
    as_json: bool,
) -> None:
    """Make a dataset of the NDI documents and files in FOLDER; prints its id.

    A JSON file that holds an NDI document becomes that document. A file named by a uid of one of
    the documents becomes its object; every other file gets a generic_file document.

    Example: ndicloudfs sandbox load ./study --name "My study" --publish
    """
    config = _sandbox(ready_file)
    try:
        found = scan(folder)
    except FolderError as error:
        raise Failure(str(error)) from error
    order = _Order(
        fields={"name": name},
        documents=found.documents(),
        document_count=found.document_count,
        objects=found.objects,
        object_count=len(found.objects),
        dataset_id=dataset_id,
        publish=publish,
    )
    _make(config, order, as_json=as_json)


@click.command()
@click.option("--name", help="Name of the dataset.  [default: one with awkward characters]")
@click.option("--documents", type=click.IntRange(min=0), help="Number of documents.")
@click.option("--files", type=click.IntRange(min=0), help="Number of extra files.")
@click.option(
    "--file-size",
    type=quantities.size,
    help="Size of each extra file, such as 10MB.  [default: 64KiB]",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other data.")
@click.option("--with-missing", is_flag=True, help="Add a file that is never uploaded.")
@_common
def sample(
    name: str | None,
    documents: int | None,
    files: int | None,
    file_size: int | None,
    seed: int,
    with_missing: bool,
    ready_file: Path | None,
    dataset_id: str | None,
    publish: bool,
    as_json: bool,
) -> None:
    """Make a generated dataset, the same one for the same options; prints its id.

    Without options it is a small study with one of everything.

    Example: ndicloudfs sandbox sample --documents 100000 --files 200 --file-size 1MB
    """
    config = _sandbox(ready_file)
    try:
        made = make_sample(seed, documents, files, file_size, with_missing=with_missing)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    order = _Order(
        fields={**made.fields, "name": name} if name is not None else made.fields,
        documents=made.documents(),
        document_count=made.document_count,
        objects=made.objects(),
        object_count=made.object_count,
        dataset_id=dataset_id,
        publish=publish,
    )
    _make(config, order, as_json=as_json)


def _sandbox(ready_file: Path | None) -> CloudConfig:
    """Where the sandbox is and who asks; anything but this machine is refused."""
    environ: dict[str, str] = dict(os.environ)
    if ready_file is not None:
        try:
            ready = json.loads(ready_file.read_text())
            environ = {
                "NDI_CLOUD_URL": ready["url"],
                "NDI_CLOUD_USERNAME": ready["email"],
                "NDI_CLOUD_PASSWORD": ready["password"],
                "NDI_CLOUD_ORGANIZATION_ID": ready["organization_id"],
            }
        except (ValueError, KeyError, TypeError) as error:
            raise Failure(
                f"{ready_file} was not written by `ndicloudfs sandbox serve`;"
                " start one with --ready-file"
            ) from error
    config = CloudConfig.from_environment(environ)
    host = urlsplit(config.url).hostname or ""
    if not is_loopback(host):
        raise Failure(
            f"{host} is not this machine, and these commands are for a sandbox; "
            "say where it is with --ready-file or NDI_CLOUD_URL"
        )
    return config


def _make(config: CloudConfig, order: _Order, *, as_json: bool) -> None:
    """Create the dataset, fill it, and print its id."""
    with NdiCloud(config) as cloud:
        organization_id = config.organization_id or _first_organization(cloud)
        dataset_id = _create(cloud, organization_id, order)
        try:
            with _shown(order) as on_progress:
                loader = Loader(cloud, organization_id, dataset_id, on_progress=on_progress)
                done = loader.load(order.documents, order.objects)
                if order.publish:
                    loader.publish()
        except (CloudError, FolderError, NotLoaded) as error:
            failure = failure_of(error) or Failure(str(error))
            message = (
                f"{failure.message} (dataset {dataset_id} is incomplete; remove it and begin again)"
            )
            raise Failure(message, failure.exit_code) from error
    if as_json:
        click.echo(
            json.dumps(
                {
                    "id": dataset_id,
                    "organization_id": organization_id,
                    "documents": done.documents,
                    "files": done.objects,
                    "size": done.size,
                }
            )
        )
    else:
        click.echo(dataset_id)


def _first_organization(cloud: NdiCloud) -> str:
    for organization in cloud.account.user().organizations:
        if organization.can_upload:
            return organization.id
    raise Failure("The account has no organization that it may upload to; sign in with another one")


def _create(cloud: NdiCloud, organization_id: str, order: _Order) -> str:
    if order.dataset_id is None:
        return cloud.datasets.create(organization_id, order.fields)
    if not is_cloud_id(order.dataset_id):
        raise click.UsageError(f"--id {order.dataset_id!r} is not 24 hex digits")
    try:
        return create_dataset(cloud.config.url, organization_id, order.dataset_id, order.fields)
    except ControlError as error:
        raise Failure(str(error)) from error


@contextmanager
def _shown(order: _Order) -> Iterator[Callable[[Progress], None]]:
    """What shows progress: bars on a terminal, lines elsewhere, both on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(order)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        files = bars.add_task("files", total=order.object_count)
        documents = bars.add_task("documents", total=order.document_count)

        def show(progress: Progress) -> None:
            bars.update(files, completed=progress.objects)
            bars.update(documents, completed=progress.documents)
            if progress.waiting:
                bars.add_task("waiting for the server", total=None)

        yield show


def _lines(order: _Order) -> Callable[[Progress], None]:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if not progress.waiting and time.monotonic() - last < LINE_INTERVAL:
            return
        last = time.monotonic()
        line = (
            f"sent {progress.documents} of {order.document_count} documents, "
            f"{progress.objects} of {order.object_count} files ({progress.size / 1e6:.1f} MB)"
        )
        click.echo(line + (", waiting for the server" if progress.waiting else ""), err=True)

    return show
