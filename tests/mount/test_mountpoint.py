"""Mount points that cannot be used, and the sentence that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from ndicloudfs.mount import mountpoint
from ndicloudfs.mount.mountpoint import MountError

MOUNTS = """\
sysfs /sys sysfs rw,nosuid 0 0
tmpfs /mnt/scratch tmpfs rw 0 0
tmpfs /mnt/\u65e5\u2028x\\011y tmpfs rw 0 0
ndicloud:api.example /home/me/my\\040data\u00fc fuse.ndicloudfs ro 0 0
"""


@pytest.fixture(autouse=True)
def folders(fs: FakeFilesystem) -> None:
    fs.create_file("/proc/self/mounts", contents=MOUNTS)
    fs.create_dir("/home/me/empty")
    fs.create_file("/home/me/full/file")
    fs.create_dir("/mnt/scratch")
    fs.create_dir("/home/me/my data\u00fc")


def test_a_machine_without_fuse_is_told_how_to_get_it(
    fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MountError, match="sudo modprobe fuse"):
        mountpoint.check_fuse()
    fs.create_file("/dev/fuse")
    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda *_: False)
        with pytest.raises(MountError, match="sudo chmod 0666 /dev/fuse"):
            mountpoint.check_fuse()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("os.access", lambda *_: True)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MountError, match="sudo apt-get install fuse3"):
        mountpoint.check_fuse()
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    mountpoint.check_fuse()


def test_an_empty_directory_will_do() -> None:
    mountpoint.check("/home/me/empty")


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("/home/me/nowhere", "does not exist; make it with: mkdir -p /home/me/nowhere"),
        ("/home/me/full", "is not empty; mount on an empty directory"),
        ("/home/me/full/file", "is not a directory"),
        ("/mnt/scratch", "is already the mount point of a tmpfs file system"),
        ("/home/me/my data\u00fc", "is already mounted; to mount it anew, first run"),
    ],
)
def test_what_will_not_do_is_named_with_what_to_do(target: str, sentence: str) -> None:
    with pytest.raises(MountError) as raised:
        mountpoint.check(target)
    assert str(raised.value).startswith(target)
    assert sentence in str(raised.value)


def test_mounts_are_read_with_their_escapes_undone() -> None:
    found = mountpoint.mounted_at("/home/me/my data\u00fc")
    assert found is not None
    assert found.filesystem == mountpoint.FILESYSTEM_TYPE
    assert found.source == "ndicloud:api.example"


@pytest.mark.parametrize(
    ("target", "sentence"),
    [("/home/me/empty", "is not mounted"), ("/mnt/scratch", "not one of ndicloudfs")],
)
def test_only_our_own_mounts_are_unmounted(target: str, sentence: str) -> None:
    with pytest.raises(MountError, match=sentence):
        mountpoint.unmount(target)


def test_a_relative_path_is_made_absolute_without_a_look_at_the_mount(
    fs: FakeFilesystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs.create_symlink("/home/link", "/home/me")
    assert mountpoint.absolute("/home/link/empty") == "/home/me/empty"
    monkeypatch.chdir(Path("/home/me"))
    assert mountpoint.absolute("empty/") == "/home/me/empty"
