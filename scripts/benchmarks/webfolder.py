"""A folder by HTTP with the sandbox's latencies, as ``rclone mount :http:`` reads it.

``python -m benchmarks.webfolder FOLDER`` prints its address and serves until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from html import escape
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from benchmarks.world import LATENCIES
from ndicloudfs.sandbox.objects import Pace


class WebFolder:
    """Listings cost what an API call costs, files what an object costs."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A listing as links, or a file or a range of it."""
        path = (self._root / request.match_info["path"]).resolve()
        if self._root not in (path, *path.parents) or not path.exists():
            raise web.HTTPNotFound
        if path.is_dir():
            await asyncio.sleep(LATENCIES["api_latency"])
            return web.Response(text=self._listing(path), content_type="text/html")
        await asyncio.sleep(LATENCIES["object_latency"])
        return await self._file(request, path)

    @staticmethod
    def _listing(path: Path) -> str:
        names = [entry.name + "/" * entry.is_dir() for entry in sorted(path.iterdir())]
        links = "".join(f'<a href="{quote(name)}">{escape(name)}</a>\n' for name in names)
        return f"<!DOCTYPE html>\n<html><body>\n{links}</body></html>\n"

    @staticmethod
    async def _file(request: web.Request, path: Path) -> web.StreamResponse:
        size = path.stat().st_size
        asked = request.http_range
        first, end, _ = slice(asked.start, asked.stop).indices(size)
        whole = asked.start is None and asked.stop is None
        response = web.StreamResponse(status=200 if whole else 206)
        response.content_length = end - first
        response.content_type = "application/octet-stream"
        response.headers["Accept-Ranges"] = "bytes"
        response.last_modified = path.stat().st_mtime
        if not whole:
            response.headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        pace = Pace(LATENCIES["object_bandwidth"])
        with path.open("rb") as source:
            source.seek(first)
            while first < end:
                chunk = await asyncio.to_thread(source.read, min(pace.chunk, end - first))
                first += len(chunk)
                await pace.keep(len(chunk))
                await response.write(chunk)
        return response


async def main() -> None:
    """Serve until the process is ended."""
    application = web.Application()
    application.router.add_get("/{path:.*}", WebFolder(Path(sys.argv[1])).answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    print(f"http://{host}:{port}/", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
