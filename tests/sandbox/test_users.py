"""Section 3: users and organizations."""

from __future__ import annotations

from tests.sandbox.raw import UNKNOWN_ID, Api, login, ok
from tests.support.sandbox import Sandbox


def test_me(sandbox: Sandbox, api: Api) -> None:
    me = ok(api.get("/users/me"))
    assert set(me) == {
        "id",
        "name",
        "email",
        "isValidated",
        "isAdmin",
        "bookmarkedDatasetIds",
        "organizations",
    }
    assert me["isAdmin"] is True
    assert me["bookmarkedDatasetIds"] == []
    assert [one["id"] for one in me["organizations"]] == [sandbox.organization_id]


def test_user_by_id(api: Api, other: Api) -> None:
    user_id = ok(other.get("/users/me"))["id"]
    assert ok(api.get(f"/users/{user_id}"))["email"] == "other@example.org"
    assert api.get(f"/users/{UNKNOWN_ID}").status_code == 404
    assert api.get("/users/not-an-id").status_code == 500


def test_organizations_may_have_any_name(sandbox: Sandbox) -> None:
    names = ["", "Same", "Same", "a/b", "..", "Ünï\u2028"]
    made = sandbox.add_user("odd@example.org", organizations=names)
    with login(sandbox, "odd@example.org") as odd:
        shown = ok(odd.get("/users/me"))["organizations"]
    assert [one["name"] for one in shown] == names
    assert [one["id"] for one in shown] == made["organization_ids"]


def test_users_share_an_organization(sandbox: Sandbox, dataset: str) -> None:
    organization_id = sandbox.organization_id
    sandbox.add_user("peer@example.org", organizations=[], organization_ids=[organization_id])
    with login(sandbox, "peer@example.org") as peer:
        assert peer.detail(dataset)["_id"] == dataset


def test_an_organization_without_the_right_to_upload(sandbox: Sandbox) -> None:
    made = sandbox.add_user("reader@example.org", can_upload=False)
    (organization_id,) = made["organization_ids"]
    with login(sandbox, "reader@example.org") as reader:
        (shown,) = ok(reader.get("/users/me"))["organizations"]
        assert shown["canUploadDataset"] is False
        refused = reader.post(f"/organizations/{organization_id}/datasets", {"name": "x"})
        assert refused.status_code == 400
