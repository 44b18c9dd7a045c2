"""The tree for fsspec, and so for pandas, zarr, dask and xarray, where nothing can be mounted.

An adapter and nothing more: it reads, with the names and the cache of a mount. Which account that
is comes from the caller, or from the environment.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import platformdirs
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.cloud.profiles import Keychain, Profile
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.nodes import Kind, Node
from ndicloudfs.vfs.status import ErrorLog

_APPLICATION = "ndicloudfs"


class NdiCloudFileSystem(AbstractFileSystem):
    """``fsspec.filesystem("ndicloud")``: organizations, ``published``, datasets, files.

    ``profile`` is the one of ``ndicloudfs login``; the NDI_CLOUD_* variables win. ``cache_dir`` is
    the folder of the cache, by default that of mounts. Failures are OSError.
    """

    protocol = "ndicloud"
    root_marker = ""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        """The path without ``ndicloud://`` and without slashes at its ends."""
        return str(super()._strip_protocol(path)).strip("/")

    def __init__(
        self, profile: str = "default", cache_dir: str | None = None, **storage_options: Any
    ) -> None:
        super().__init__(**storage_options)
        self._cloud = _cloud(profile)
        cache = platformdirs.user_cache_path(_APPLICATION, appauthor=False)
        options = CacheOptions(Path(cache_dir) if cache_dir else cache)
        self.core = FileSystem(LocalCache(self._cloud, options), ErrorLog())

    def close(self) -> None:
        """Let go of the cache and the connections."""
        self.core.close()
        self._cloud.close()

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """What is in a directory: names, or dictionaries with ``name``, ``size`` and ``type``."""
        path = self._strip_protocol(path)
        node = self._node(path)
        if node.kind is Kind.FILE:
            return [self._described(path, node)] if detail else [path]
        try:
            names = [entry.name for entry in self.core.entries(node)]
            below = [f"{path}/{name}" if path else name for name in names]
            if not detail:
                return below
            return [
                self._described(where, self.core.lookup(node, name))
                for name, where in zip(names, below, strict=True)
            ]
        except CloudError as error:
            raise OSError(error.errno, str(error), path) from error

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Size, type, time, and what the cloud calls it."""
        path = self._strip_protocol(path)
        node = self._node(path)
        try:
            attributes = {
                name.removeprefix("user.ndi."): text for name, text in node.xattrs().items()
            }
        except CloudError as error:
            raise OSError(error.errno, str(error), path) from error
        return {**self._described(path, node), "ndi": attributes}

    def _open(
        self, path: str, mode: str = "rb", block_size: int | None = None, **options: Any
    ) -> _OpenFile:
        if mode != "rb":
            raise OSError(30, "fsspec only reads from NDI Cloud; mount it to write", path)
        return _OpenFile(self, path, mode, block_size or "default", cache_type="none", **options)

    def _node(self, path: str) -> Node:
        try:
            return self.core.resolve(path)
        except CloudError as error:
            raise OSError(error.errno, str(error), path) from error

    def _described(self, path: str, node: Node) -> dict[str, Any]:
        try:
            found = node.attributes()
        except CloudError as error:
            raise OSError(error.errno, str(error), path) from error
        is_file = found.kind is Kind.FILE
        return {
            "name": path,
            "size": found.size if is_file else None,
            "type": "file" if is_file else "directory",
            "ino": found.ino,
            "mtime": found.mtime_ns / 1e9,
            "mode": stat.S_IFREG | 0o444 if is_file else stat.S_IFDIR | 0o555,
        }


class _OpenFile(AbstractBufferedFile):
    """An open file; the tree underneath has the cache and reads ahead."""

    def __init__(self, fs: NdiCloudFileSystem, path: str, *arguments: Any, **options: Any) -> None:
        self._core = fs.core
        try:
            self._handle, opened = self._core.open(fs._node(path))
            try:
                size = opened.size
                if size is None:
                    size = len(opened.read(0, 1 << 30))
                super().__init__(fs, path, *arguments, size=size, **options)
            except BaseException:
                self._core.release(self._handle)
                raise
        except CloudError as error:
            raise OSError(error.errno, str(error), path) from error

    def _fetch_range(self, start: int, end: int) -> bytes:
        try:
            return self._core.read(self._handle, start, end - start)
        except CloudError as error:
            raise OSError(error.errno, str(error), self.path) from error

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            self._core.release(self._handle)
        super().close()


def _cloud(profile: str) -> NdiCloud:
    """The account of the environment, else of the profile, else nobody."""
    config = CloudConfig.from_environment(os.environ)
    if config.email or config.password or config.token:
        return NdiCloud(config)
    folder = platformdirs.user_state_path(_APPLICATION, appauthor=False) / "profiles"
    stored = Profile(profile, folder, Keychain())
    known = stored.load()
    if known is None or (os.environ.get("NDI_CLOUD_URL") and known.url != config.url):
        return NdiCloud(config)
    return NdiCloud(CloudConfig(known.url, known.email), stored=stored)
