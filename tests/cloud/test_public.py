"""What the room offers to the others."""

from __future__ import annotations

import inspect

import ndicloudfs.cloud
from ndicloudfs.cloud import CloudConfig, NdiCloud, errors
from ndicloudfs.cloud.errors import CloudError


def test_the_public_names_are_re_exported() -> None:
    assert sorted(ndicloudfs.cloud.__all__) == ndicloudfs.cloud.__all__
    assert {"CloudConfig", "NdiCloud"} <= set(ndicloudfs.cloud.__all__)
    for name in ndicloudfs.cloud.__all__:
        assert inspect.isclass(getattr(ndicloudfs.cloud, name))


def test_the_tree_of_errors_is_drawn_completely() -> None:
    drawing = errors.__doc__ or ""
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, CloudError)
        assert kind is CloudError or f"-- {kind.__name__} " in drawing


def test_a_client_makes_no_call_before_it_is_needed() -> None:
    with NdiCloud(CloudConfig("http://127.0.0.1:1/v1")) as cloud:
        assert cloud.config.host == "127.0.0.1:1"
        assert cloud.account.anonymous
        assert cloud.account.token_expires is None
