"""The client: wires the calls to one session, one transport and one account."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import TracebackType

import requests

from ndicloudfs.cloud.account import Account
from ndicloudfs.cloud.api import Api
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.datasets import Datasets
from ndicloudfs.cloud.documents import Documents
from ndicloudfs.cloud.files import Files
from ndicloudfs.cloud.objects import Objects
from ndicloudfs.cloud.profiles import Stored
from ndicloudfs.cloud.session import Session
from ndicloudfs.cloud.tokens import Tokens
from ndicloudfs.cloud.traffic import Traffic
from ndicloudfs.cloud.transport import Transport, new_http


class NdiCloud:
    """NDI Cloud as one account sees it; used by any number of threads, closed at the end.

    ``stored`` is where the sign-in of ``config.email`` is kept, for programs that share it. With
    ``offline`` every call is Unreachable. ``clock`` tells seconds of the epoch, ``monotonic``
    seconds, ``rng`` a number in [0, 1). ``http`` replaces the session that makes the connections,
    and is closed with the client. No call is made before it is needed.
    """

    def __init__(
        self,
        config: CloudConfig,
        *,
        stored: Stored | None = None,
        offline: bool = False,
        http: requests.Session | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rng: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self._transport = Transport(config, http or new_http(), monotonic, offline=offline)
        self.traffic = Traffic(monotonic)
        self._session = session = Session(
            config,
            self._transport,
            self.traffic,
            clock=clock,
            monotonic=monotonic,
            sleep=sleep,
            rng=rng,
        )
        tokens = Tokens(config, session, stored, clock=clock, monotonic=monotonic)
        api = Api(session, tokens)
        self.account = Account(config, session, tokens, api)
        self.objects = Objects(config, session, clock)
        self.datasets = Datasets(api)
        self.documents = Documents(api, self.objects)
        self.files = Files(api, self.objects)

    def sign_of_life(self) -> None:
        """Make sure that the server answers a question that costs it nothing, whatever it says.

        Raises Unreachable or TimedOut.
        """
        self._session.sign_of_life(self.config.url + "/datasets/published?page=1&pageSize=1")

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> NdiCloud:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
