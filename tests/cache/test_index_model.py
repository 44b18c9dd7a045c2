"""The index against a plain model: answers that arrive late, listings that overlap, two mounts.

The model is a server of which documents come, go and change their class at moments that the index
does not hear of; it hears of pages, each as the server was when it was asked for.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ndicloudfs.cache.index import BodyFacts, Index
from ndicloudfs.cloud.values import Summary

DATASET = "d" * 24
CLASSES = ("subject", "treatment")
DOCUMENTS = [f"{number:024x}" for number in range(2)]
PAGES = (DOCUMENTS[:1], DOCUMENTS[1:])
GONE = ""  # the class of a document that the server does not have


@dataclass
class Listing:
    """A listing under way, of a class or of everything (``""``)."""

    class_name: str
    since: int
    waiting: set[int] = field(default_factory=lambda: set(range(len(PAGES))))


@dataclass(frozen=True)
class Answer:
    """A page of a listing, on its way."""

    listing: Listing
    page: int
    tick: int
    rows: tuple[Summary, ...]


@dataclass(frozen=True)
class Fetched:
    """A bulk-fetch of one document, on its way."""

    tick: int
    row: Summary | None
    document: str


class Interleaved(RuleBasedStateMachine):
    """Whatever the order, a listing that has ended is what the server has had since it began."""

    listings = Bundle("listings")
    answers = Bundle("answers")
    fetches = Bundle("fetches")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "index.sqlite"
        self.mounts = [Index(path), Index(path)]
        self.server = dict.fromkeys(DOCUMENTS, CLASSES[0])
        # The tick at which a document came into the class that it is in.
        self.moved_at = dict.fromkeys(DOCUMENTS, 0)
        self.whole = dict.fromkeys(("", *CLASSES), 0)

    def teardown(self) -> None:
        for index in self.mounts:
            index.close()
        self.folder.cleanup()

    def summary(self, document: str) -> Summary:
        return Summary(document, f"ndi-{document}", self.server[document], "")

    @rule(document=st.sampled_from(DOCUMENTS), class_name=st.sampled_from((GONE, *CLASSES)))
    def the_server_changes(self, document: str, class_name: str) -> None:
        if self.server[document] != class_name:
            self.server[document] = class_name
            self.moved_at[document] = self.mounts[0].tick()

    @rule(target=listings, class_name=st.sampled_from(("", *CLASSES)), mount=st.integers(0, 1))
    def a_listing_begins(self, class_name: str, mount: int) -> Listing:
        return Listing(class_name, self.mounts[mount].tick())

    @rule(target=answers, listing=listings)
    def a_page_is_asked_for(self, listing: Listing) -> Answer:
        return self.ask(listing, min(listing.waiting, default=0))

    def ask(self, listing: Listing, page: int) -> Answer:
        tick = self.mounts[0].tick()
        rows = tuple(
            self.summary(document)
            for document in PAGES[page]
            if self.server[document] != GONE and listing.class_name in ("", self.server[document])
        )
        return Answer(listing, page, tick, rows)

    @rule(answer=consumes(answers), mount=st.integers(0, 1))
    def a_page_arrives(self, answer: Answer, mount: int) -> None:
        self.put(answer, mount)

    def put(self, answer: Answer, mount: int) -> None:
        self.mounts[mount].put_summaries(DATASET, answer.rows, answer.tick)
        answer.listing.waiting.discard(answer.page)

    @rule(listing=consumes(listings), mount=st.integers(0, 1), now=st.floats(0, 9))
    def a_listing_ends(self, listing: Listing, mount: int, now: float) -> None:
        for page in list(listing.waiting):  # those that were asked for may come later, too
            self.put(self.ask(listing, page), mount)
        index, since, name = self.mounts[mount], listing.since, listing.class_name
        if name:
            index.finish_class(f"class/{name}", DATASET, name, since, now)
        else:
            index.finish_dataset("class/", DATASET, since, now)
        self.whole[name] = max(self.whole[name], since)

    @rule(target=fetches, document=st.sampled_from(DOCUMENTS))
    def a_body_is_asked_for(self, document: str) -> Fetched:
        there = self.server[document] != GONE
        tick = self.mounts[1].tick()
        return Fetched(tick, self.summary(document) if there else None, document)

    @rule(fetched=consumes(fetches), mount=st.integers(0, 1), size=st.integers(1, 3))
    def a_body_arrives(self, fetched: Fetched, mount: int, size: int) -> None:
        index = self.mounts[mount]
        if fetched.row is None:
            index.remove_documents(DATASET, [fetched.document], fetched.tick)
        else:
            index.put_bodies(DATASET, [BodyFacts(fetched.row, size, None, ())], fetched.tick, 0.0)

    @invariant()
    def what_was_listed_is_what_the_server_has(self) -> None:
        for name in CLASSES:
            listed = {row.id for row in self.mounts[0].every_document_of_class(DATASET, name)}
            since = max(self.whole[""], self.whole[name])
            for document in DOCUMENTS:
                if self.moved_at[document] < since:  # nothing has happened to it since then
                    assert (document in listed) == (self.server[document] == name), document


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=300, stateful_step_count=50, deadline=None)
