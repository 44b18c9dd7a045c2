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
    table, directory = NodeTable(lambda: now), Counting()
    made: dict[int, float] = {}
    for pause in pauses:
        now += pause
        node = table.child(directory, "a")
        assert node is not None
        assert now - made.setdefault(id(node), now) <= 5.0
        made = {id(node): made[id(node)]}  # ids of nodes that are gone come again


def test_a_name_is_remembered_for_some_seconds_and_a_missing_one_is_not() -> None:
    now = 100.0
    table, directory = NodeTable(lambda: now), Counting()
    for _ in range(10):
        now += 0.2
        assert table.child(directory, "a") is table.child(directory, "a")
    assert directory.looks == 1
    assert table.child(directory, "") is None
    assert table.child(directory, "") is None
    assert directory.looks == 3
    table.forget(directory, "a")
    table.child(directory, "a")
    assert directory.looks == 4
