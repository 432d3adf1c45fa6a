"""Archives that someone tampered with."""

import gc
import gzip
import io
import tarfile
import zipfile

import pytest
from served import tar, zipped

from ctta.data import archives
from ctta.data.archives import members


def info(name, kind=tarfile.REGTYPE, link="", size=0, **more):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    for key, value in more.items():
        setattr(found, key, value)
    return found


def zip_info(name, mode=0o100644):
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    return found


def read(path, name, content):
    """What is read of an archive with that content."""
    archive = path / name
    archive.write_bytes(content)
    return {"/".join(m.parts): b"".join(m.chunks()) for m in members(archive)}


FILES = {"a/x.npy": b"1" * 1000, "a/b/y.npy": b"22", "a/empty": b""}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", tar(FILES)),
        ("a.tar.gz", tar(FILES, compressed=True)),
        ("a.tar.gz", tar(FILES)),  # as ImageNet-V2
        ("a.tar", tar([(info("a", tarfile.DIRTYPE), b""), *FILES.items()])),
        ("a.tar", tar({f"./{name}": content for name, content in FILES.items()})),
        ("a.zip", zipped(FILES)),
        ("a.zip", zipped(FILES | {"a/": b"", "__MACOSX/a/._x.npy": b"3"})),
    ],
)
def test_files_are_read_from_every_kind(tmp_path, name, content):
    assert read(tmp_path, name, content) == FILES


OUT = "leads out of the folder it is unpacked to: nothing of it is used; delete it"
LINK = "is a link, a device or a file with holes: nothing of it is used"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.tar", tar({"/etc/x": b"1"}), f"'/etc/x' {OUT}"),
        ("t.tar", tar({"../x": b"1"}), f"'../x' {OUT}"),
        ("t.tar", tar({"a/../../x": b"1"}), OUT),
        ("t.tar.gz", tar({"a/../../x": b"1"}, compressed=True), OUT),
        ("t.tar", tar({"..\\x": b"1"}), OUT),
        ("t.tar", tar({"C:/x": b"1"}), OUT),
        ("t.tar", tar({"a/x\ny": b"1"}), OUT),
        ("t.tar", tar([(info("a", tarfile.SYMTYPE, "/etc"), b"")]), f"'a' {LINK}"),
        ("t.tar", tar([(info("a", tarfile.SYMTYPE, "b"), b"")]), LINK),
        ("t.tar", tar([(info("a", tarfile.LNKTYPE, "../b"), b"")]), LINK),
        ("t.tar", tar([(info("a", tarfile.CHRTYPE, devmajor=1, devminor=3), b"")]), LINK),
        ("t.tar", tar([(info("a", tarfile.BLKTYPE), b"")]), LINK),
        ("t.tar", tar([(info("a", tarfile.FIFOTYPE), b"")]), LINK),
        ("t.zip", zipped({"/etc/x": b"1"}), OUT),
        ("t.zip", zipped({"../x": b"1"}), OUT),
        ("t.zip", zipped({"a/../../x": b"1"}), OUT),
        ("t.zip", zipped([(zip_info("a", 0o120777), b"/etc")]), "is a link or a device"),
        ("t.zip", zipped([(zip_info("a", 0o020666), b"")]), "is a link or a device"),
    ],
)
def test_what_no_data_set_holds_ends_the_reading(tmp_path, name, content, words):
    with pytest.raises(ValueError) as error:
        read(tmp_path, name, content)
    assert str(tmp_path / name) in str(error.value)
    assert words in str(error.value)


def test_an_encrypted_member_is_refused(tmp_path):
    content = bytearray(zipped({"a": b"1"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ValueError, match="'a' is encrypted"):
        read(tmp_path, "t.zip", bytes(content))


@pytest.fixture
def small_limit(monkeypatch):
    """Archives may unpack to 100 kB."""
    monkeypatch.setattr(archives, "SMALLEST_LIMIT", 100_000)


def declaring(size):
    """A tar archive with the header of a member of that size, and nothing behind it."""
    return info("a", size=size).tobuf()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tar", declaring(1 << 40)),
        ("t.tar.gz", tar({"a": b"\0" * 200_000}, compressed=True)),
        ("t.tar.gz", gzip.compress(declaring(1 << 40))),
        ("t.tar.gz", gzip.compress(tar({"a": b"1"}) + bytes(10_000_000))),  # behind the end
        ("t.zip", zipped({"a": b"\0" * 200_000})),
        ("t.zip", zipped({f"{i}": b"\0" * 15_000 for i in range(7)})),
    ],
)
def test_a_bomb_is_refused_by_its_declared_and_by_its_real_size(
    tmp_path, small_limit, name, content
):
    with pytest.raises(ValueError, match=r"unpacks to more than .* nothing of it is used"):
        read(tmp_path, name, content)


def test_a_declared_bomb_is_refused_before_its_content_is_asked_for(tmp_path, small_limit):
    (tmp_path / "t.tar").write_bytes(declaring(1 << 40))
    (tmp_path / "t.zip").write_bytes(zipped({"a": b"1", "b": b"\0" * 200_000}))
    for name in ("t.tar", "t.zip"):
        with pytest.raises(ValueError, match="unpacks to more than"):
            next(members(tmp_path / name))


def test_headers_that_were_read_are_forgotten(tmp_path):
    (tmp_path / "t.tar").write_bytes(tar({f"{i}": b"" for i in range(100)}))
    found = members(tmp_path / "t.tar")
    for _ in range(90):
        next(found)
    assert sum(type(o) is tarfile.TarInfo for o in gc.get_objects()) < 10
    found.close()


def test_a_zip_that_declares_less_than_it_holds_is_damaged(tmp_path):
    content = zipped({"a": b"\0" * 200_000})
    lying = content.replace((200_000).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    assert lying != content
    with pytest.raises(ValueError, match=r"t.zip: damaged \(Bad CRC-32"):
        read(tmp_path, "t.zip", lying)


def test_too_many_members_are_a_bomb_too(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST_MEMBERS", 3)
    with pytest.raises(ValueError, match="3 files"):
        read(tmp_path, "t.tar", tar({f"{i}": b"" for i in range(4)}))


def stored(files):
    """A zip archive that is not compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def with_a_flipped_byte(content, place):
    found = bytearray(content)
    found[place] ^= 1
    return bytes(found)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.tar", b"<html>not an archive</html>"),
        ("t.tar", b""),
        ("t.zip", b"<html>not an archive</html>"),
        ("t.tar", tar(FILES)[:700]),
        ("t.tar.gz", tar(FILES, compressed=True)[:-20]),
        ("t.tar.gz", with_a_flipped_byte(tar(FILES, compressed=True), -6)),
        ("t.zip", zipped(FILES)[:-20]),
        ("t.zip", stored(FILES).replace(b"111", b"121", 1)),
    ],
)
def test_a_damaged_archive_says_so(tmp_path, name, content):
    with pytest.raises(ValueError, match=rf"{name}: damaged \(.*; delete it, then type the same"):
        read(tmp_path, name, content)
