"""The node table: quick, forgets in time, and never keeps more than it should."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ndicloudfs.vfs.nodes import Directory, Entry, Node, NodeTable


class Counting(Directory):
    """A directory in which every name is; each look makes another node."""

    def __init__(self) -> None:
        super().__init__(7, 0)
        self.looks = 0

    def entries(self) -> Iterator[Entry]:
        return iter(())

    def child(self, name: str) -> Node | None:
        self.looks += 1
        return Counting() if name else None


@given(st.lists(st.floats(0, 6), max_size=20))
def test_a_name_is_looked_up_again_after_five_seconds_at_most(pauses: list[float]) -> None:
    now = 100.0
    table, directory = NodeTable(lambda: now, lambda: 0), Counting()
    made: dict[int, float] = {}
    for pause in pauses:
        now += pause
        node = table.child(directory, "a")
        assert node is not None
        assert now - made.setdefault(id(node), now) <= 5.0
        made = {id(node): made[id(node)]}  # ids of nodes that are gone come again


def test_a_name_is_remembered_for_some_seconds_and_a_missing_one_for_a_moment() -> None:
    now = 100.0
    table, directory = NodeTable(lambda: now, lambda: 0), Counting()
    for _ in range(10):
        now += 0.2
        assert table.child(directory, "a") is table.child(directory, "a")
    assert directory.looks == 1
    assert table.child(directory, "") is None
    assert table.child(directory, "") is None
    assert directory.looks == 2
    now += 0.06
    assert table.child(directory, "") is None
    assert directory.looks == 3
    table.forget(directory, "a")
    table.child(directory, "a")
    assert directory.looks == 4


def test_a_missing_name_is_looked_for_again_once_something_has_been_made() -> None:
    written = 0
    table, directory = NodeTable(lambda: 100.0, lambda: written), Counting()
    table.child(directory, "")
    assert table.is_absent(directory, "")
    table.forget(directory, "other")
    assert not table.is_absent(directory, "")
    table.child(directory, "")
    assert table.is_absent(directory, "")
    written = 1
    assert not table.is_absent(directory, "")


def test_what_is_made_while_it_is_looked_for_is_not_missing_afterwards() -> None:
    table = NodeTable(lambda: 100.0, lambda: 0)

    class Raced(Counting):
        def child(self, name: str) -> Node | None:
            found = super().child(name)
            table.forget(self, name)  # another thread makes it just after the look
            return found

    directory = Raced()
    table.child(directory, "")
    assert not table.is_absent(directory, "")


@given(st.lists(st.floats(0, 6), max_size=20))
def test_a_directory_is_kept_no_longer_than_the_names_on_the_way_to_it(pauses: list[float]) -> None:
    now = 100.0
    table, directory = NodeTable(lambda: now, lambda: 0), Counting()
    last, made = directory, now
    for pause in pauses:
        now += pause
        found: Node | None = table.directory("/a")
        if found is None:
            found = table.child(directory, "a")
            assert isinstance(found, Directory)
            table.keep("/a", [directory, found])
        if found is not last:
            assert isinstance(found, Counting)
            last, made = found, now
        assert now - made <= 5.0


def test_a_directory_is_not_kept_after_a_change_on_the_way_to_it() -> None:
    table, directory = NodeTable(lambda: 100.0, lambda: 0), Counting()
    found = table.child(directory, "a")
    assert isinstance(found, Directory)
    table.keep("/a", [directory, found])
    table.forget(directory, "b")
    assert table.directory("/a") is found
    table.forget(directory, "a")
    assert table.directory("/a") is None
