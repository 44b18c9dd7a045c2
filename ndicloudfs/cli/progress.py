"""Progress of a long command: a line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.status import Status

from ndicloudfs.cloud.values import Json

LINE_INTERVAL = 5.0  # s between two lines where there is no terminal


class Shown:
    """Shows what ``sentence`` says of each progress report, on standard error."""

    def __init__(self, sentence: Callable[[Json], str]) -> None:
        self._sentence = sentence
        self._console = Console(stderr=True)  # soft wrapping would miscount lines in narrow windows
        self._last = time.monotonic()
        self._status: Status | None = None

    def __call__(self, facts: Json) -> None:
        """Show a report."""
        text = self._sentence(facts)
        if self._status is not None:
            self._status.update(text)
        elif time.monotonic() - self._last >= LINE_INTERVAL:
            self._last = time.monotonic()
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Shown:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._status is not None:
            self._status.stop()
