"""`ctta data`: from a local server to where the loaders look, and what is said of it afterwards."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import miniature
import pytest
from rich.console import Console
from served import Step, tar, zipped

from ctta.commands.progress import Lines, watching
from ctta.data import catalogue, stamp
from ctta.data.catalogue import Entry, File
from ctta.data.ccc_shards import CCCShards
from ctta.data.download import download, needed
from ctta.data.shelf import Shelf
from ctta.data.verify import verify
from ctta.data.watch import Nobody

# Members of each archive as their pages show them, and where the loaders look for them.
EXTRA = ["speckle_noise", "spatter", "gaussian_blur", "saturate"]
IMAGENET_C = {
    "noise.tar": ["gaussian_noise", "shot_noise", "impulse_noise"],
    "blur.tar": ["defocus_blur", "glass_blur", "motion_blur", "zoom_blur"],
    "weather.tar": ["frost", "snow", "fog", "brightness"],
    "digital.tar": ["contrast", "elastic_transform", "pixelate", "jpeg_compression"],
    "extra.tar": EXTRA,
}
JPEG = "n01440764/ILSVRC2012_val_00000293.JPEG"
STYLES = ("clipart", "painting", "real", "sketch")
LAYOUTS = {
    ("cifar10_c", "CIFAR-10-C.tar"): {
        f"CIFAR-10-C/{name}.npy": f"CIFAR-10-C/{name}.npy"
        for name in [*miniature.CORRUPTIONS_19, "labels"]
    },
    ("cifar100_c", "CIFAR-100-C.tar"): {
        f"CIFAR-100-C/{name}.npy": f"CIFAR-100-C/{name}.npy"
        for name in [*miniature.CORRUPTIONS_19, "labels"]
    },
    ("cifar10", "cifar-10-python.tar.gz"): {
        f"cifar-10-batches-py/{name}": f"cifar-10-batches-py/{name}"
        for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]
    },
    ("cifar100", "cifar-100-python.tar.gz"): {
        f"cifar-100-python/{name}": f"cifar-100-python/{name}" for name in ["train", "test", "meta"]
    },
    **{
        ("imagenet_c", archive): {
            f"{corruption}/{s}/{JPEG}": f"ImageNet-C/{corruption}/{s}/{JPEG}"
            for corruption in corruptions
            for s in range(1, 6)
        }
        for archive, corruptions in IMAGENET_C.items()
    },
    ("imagenet_ids", "imagenet_test_image_ids.txt"): {
        "": "imagenet_ids/imagenet_test_image_ids.txt"
    },
    **{
        ("imagenet_3dcc", f"{name}.tar.gz"): {
            f"{name}/{s}/{JPEG}": f"ImageNet-3DCC/{name}/{s}/{JPEG}" for s in range(1, 6)
        }
        for name in miniature.CORRUPTIONS_3D
    },
    ("imagenet_r", "imagenet-r.tar"): {
        "imagenet-r/n01443537/art_0.jpg": "imagenet-r/n01443537/art_0.jpg",
        "imagenet-r/README.txt": "imagenet-r/README.txt",
    },
    ("imagenet_a", "imagenet-a.tar"): {
        "imagenet-a/n01498041/0.jpg": "imagenet-a/n01498041/0.jpg",
    },
    **{
        ("imagenet_v2", f"imagenetv2-{name}.tar.gz"): {
            f"imagenetv2-{name}-format-val/0/a.jpeg": (
                f"imagenet-v2/imagenetv2-{name}-format-val/0/a.jpeg"
            )
        }
        for name in ("matched-frequency", "threshold0.7", "top-images")
    },
    ("imagenet_sketch", "ImageNet-Sketch.zip"): {
        "sketch/n01440764/sketch_0.JPEG": "ImageNet-Sketch/sketch/n01440764/sketch_0.JPEG",
    },
    **{
        (entry, f"{name}.zip"): {
            f"{name}/bird/{name}_032_000001.jpg": f"DomainNet-126/{name}/bird/{name}_032_000001.jpg"
        }
        for entry, name in [
            *(("domainnet126", name) for name in STYLES),
            *(("imagenet_d109", name) for name in (*STYLES, "infograph")),
        ]
    },
    **{
        ("imagenet_d109", f"{name}_list.txt"): {
            "": f"DomainNet-126/imagenet_d109_lists/{name}_list.txt"
        }
        for name in (*STYLES, "infograph")
    },
    **{
        ("domainnet126", f"{name}_list.txt"): {"": f"DomainNet-126/{name}_list.txt"}
        for name in STYLES
    },
    ("ccc", "ccc_accuracy_matrix.pickle"): {"": "CCC/ccc_accuracy_matrix.pickle"},
}
COMPRESSED = {"cifar10", "cifar100", "imagenet_3dcc"}  # the .tar.gz of V2 are not


def archived(entry, file, paths):
    """A miniature of one file of the catalogue."""
    if "" in paths:
        return f"content of {file}".encode()
    members = {path: f"{file} {path}".encode() * 9 for path in paths}
    return zipped(members) if file.endswith(".zip") else tar(members, entry in COMPRESSED)


def served_at(server, file, content, **more):
    """A file of the catalogue whose one address is at the server, with what is true of it."""
    server.files[f"/{file.name}"] = content
    md5 = hashlib.md5(content).hexdigest() if file.checksums else None
    return replace(
        file,
        urls=(f"{server.url}/{file.name}",),
        record=None,
        size=len(content) if file.checksums else None,
        md5=md5,
        sha256=None,
        **more,
    )


@pytest.fixture
def miniatures(server, monkeypatch):
    """The catalogue with miniatures at the local server behind its names."""
    entries = []
    for entry in catalogue.ENTRIES:
        files = [
            served_at(server, f, archived(entry.name, f.name, LAYOUTS[entry.name, f.name]))
            if f.urls
            else f
            for f in entry.files
        ]
        entries.append(replace(entry, files=tuple(files), md5=()))
    monkeypatch.setattr(catalogue, "ENTRIES", tuple(entries))
    return {entry.name: entry for entry in entries}


def small(server, name="noise.tar", known=True, **members):
    """An entry of one archive with two targets."""
    members = members or {"fog/1/a.npy": b"1" * 5000, "fog/2/b.npy": b"2", "snow/c.npy": b"3"}
    md5 = "x" if known else None
    file = File(name, (), None, md5, ("Set/fog", "Set/snow"))
    made = zipped(members) if name.endswith(".zip") else tar(members, name.endswith("gz"))
    return Entry(
        "small", "Small", "Set", "l", "li", "t", "http://p", (served_at(server, file, made),)
    )


def get(entry, root, **more):
    """Download without waiting."""
    more = {"watch": Nobody(), "sleep": lambda _: None} | more
    download(entry, root, **more)


def everything(folder):
    """Path -> content of all files, without what is kept beside them."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and "downloads" not in p.relative_to(folder).parts
    }


def states(entry, root):
    return [finding.state for finding in verify(entry, root, Nobody())]


# --- from the server to its place ------------------------------------------------------------


def test_the_table_of_layouts_knows_every_file():
    assert set(LAYOUTS) == {(e.name, f.name) for e in catalogue.ENTRIES for f in e.files if f.urls}


@pytest.mark.parametrize("name", sorted({name for name, _ in LAYOUTS}))
def test_every_file_lands_where_its_loader_looks(miniatures, server, tmp_path, name):
    entry = miniatures[name]
    get(entry, tmp_path)
    expected = {p for (e, _), paths in LAYOUTS.items() if e == name for p in paths.values()}
    assert set(everything(tmp_path)) == expected
    kept = {path.suffix for path in (tmp_path / "downloads").rglob("*") if path.is_file()}
    assert kept <= {".lock", ".files", ".verified"}  # no archive, no part
    known = [bool(file.checksums) for file in entry.files]
    assert states(entry, tmp_path) == ["verified" if k else "complete" for k in known]
    assert stamp.verified(name, tmp_path) is (True if all(known) else None)
    n = len(server.asked)
    get(entry, tmp_path)
    assert len(server.asked) == n


def test_data_sets_that_share_an_archive_get_it_once(miniatures, server, tmp_path):
    get(miniatures["domainnet126"], tmp_path)
    server.asked.clear()
    get(miniatures["imagenet_d109"], tmp_path)
    assert "/clipart.zip" not in [path for path, _, _ in server.asked]
    assert "/infograph.zip" in [path for path, _, _ in server.asked]
    found = verify(miniatures["imagenet_d109"], tmp_path, Nobody())
    assert found[0].file == "clipart.zip"
    assert found[0].state == "verified"


def test_content_is_the_archives(server, tmp_path):
    get(small(server), tmp_path)
    assert everything(tmp_path) == {
        "Set/fog/1/a.npy": b"1" * 5000,
        "Set/fog/2/b.npy": b"2",
        "Set/snow/c.npy": b"3",
    }


def test_a_folder_appears_whole(server, tmp_path, monkeypatch):
    seen, replace_real = [], Path.replace

    def replacing(self, target):
        seen.append((sorted(p.name for p in self.rglob("*") if p.is_file()), str(target)))
        return replace_real(self, target)

    monkeypatch.setattr(Path, "replace", replacing)
    get(small(server), tmp_path)
    assert (["a.npy", "b.npy"], str(tmp_path / "Set/fog")) in seen


def test_a_place_on_another_disk_is_named(server, tmp_path, monkeypatch):
    replace_real = Path.replace

    def replacing(self, target):
        if target == tmp_path / "Set" / "fog":
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace_real(self, target)

    monkeypatch.setattr(Path, "replace", replacing)
    with pytest.raises(ValueError, match=r"Set/fog is on another disk than .*; make the folder"):
        get(small(server), tmp_path)
    assert everything(tmp_path) == {}


def test_folders_above_and_what_a_desktop_adds_are_left_out(server, tmp_path):
    members = {
        "top/Set/fog/a.npy": b"1",
        "top/fog/._a.npy": b"x",
        "__MACOSX/fog/b.npy": b"x",
        "top/snow/c.npy": b"3",
        "top/README": b"x",
    }
    get(small(server, "noise.zip", **members), tmp_path)
    assert set(everything(tmp_path)) == {"Set/fog/a.npy", "Set/snow/c.npy"}


def test_an_archive_with_other_folders_is_named(server, tmp_path):
    entry = small(server, **{"fog/a.npy": b"1", "rain/b.npy": b"2"})
    with pytest.raises(ValueError, match=r"noise.tar: expected Set/snow in it, got fog, rain"):
        get(entry, tmp_path)
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("name", ["noise.tar", "noise.tar.gz", "noise.zip"])
@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"fog/a": b"1", "../../../outside": b"2", "snow/c": b"3"}, "leads out of"),
        ({"fog/a": b"1", "/tmp/outside": b"2", "snow/c": b"3"}, "leads out of"),
        ({"fog/a": b"1", "fog/a/b": b"2", "snow/c": b"3"}, "is in it twice"),
        ({"x/fog/a": b"1", "y/fog/a": b"2", "snow/c": b"3"}, "is in it twice"),
    ],
)
def test_nothing_of_a_tampered_archive_is_used(server, tmp_path, name, members, words):
    root = tmp_path / "a" / "b" / "c"
    with pytest.raises(ValueError, match=rf"{name}: .*{words}.*nothing of it is used; delete it"):
        get(small(server, name, **members), root)
    assert everything(root) == {}
    assert not list(tmp_path.rglob("outside"))
    assert not (root / "downloads" / "Set" / f"{name}.unpacking").exists()
    assert not list(root.rglob("*.files*"))


def test_an_archive_without_checksum_is_counted(server, tmp_path):
    entry = small(server, known=False)
    entry = replace(entry, files=(replace(entry.files[0], n_files=4),))
    with pytest.raises(ValueError, match=r"noise.tar: expected 4 images in it, got 3; delete it"):
        get(entry, tmp_path)
    assert everything(tmp_path) == {}


# --- what was finished is kept --------------------------------------------------------------


def two_files(server):
    first, second = small(server), small(server, "blur.tar", **{"rain/d.npy": b"4"})
    blur = replace(second.files[0], unpacks_to=("Set/rain",))
    return replace(first, files=(first.files[0], blur))


def test_a_file_that_cannot_be_had_leaves_the_others(server, tmp_path):
    entry = two_files(server)
    server.always["/noise.tar"] = Step(404)
    words = r"noise.tar: no address gives it .*404 Not Found.*; try again later, or get it in .*"
    with pytest.raises(
        ValueError, match=words + r"from http://p and put it there: .*/downloads/Set/noise.tar$"
    ):
        get(entry, tmp_path)
    assert set(everything(tmp_path)) == {"Set/rain/d.npy"}
    server.always.clear()
    server.asked.clear()
    get(entry, tmp_path)
    assert [path for path, _, _ in server.asked] == ["/noise.tar"]
    assert len(everything(tmp_path)) == 4


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (Step(403), "the server answers 403 Forbidden"),
        (Step(404), "the server answers 404 Not Found"),
        (Step(429, {"Retry-After": "86400"}), "429 Too Many Requests, and asks to wait 86400 s"),
        (Step(429), "429 Too Many Requests"),
        (Step(500), "500 Internal Server Error"),
        (Step(cut=1000, ranges=False), "cut"),
        (Step(body=b"another file"), "the server has 12"),
        (Step(body=None), "expected md5"),
    ],
)
def test_what_a_server_does_wrong_is_one_line_with_the_remedy(server, tmp_path, step, words):
    entry = small(server)
    if words == "expected md5":
        content = server.files["/noise.tar"]
        server.files["/noise.tar"] = content[:-1] + b"x"
    server.always["/noise.tar"] = step
    with pytest.raises(ValueError) as error:
        get(entry, tmp_path)
    message = str(error.value)
    assert message.startswith("noise.tar: no address gives it (http://127.0.0.1")
    assert words in message
    assert "; try again later, or get it in another way from http://p and put it there: " in message
    assert message.endswith("/downloads/Set/noise.tar")
    assert "\n" not in message
    assert everything(tmp_path) == {}


def test_only_some_of_the_files(server, tmp_path):
    entry = two_files(server)
    get(entry, tmp_path, only=["blur.tar"])
    assert set(everything(tmp_path)) == {"Set/rain/d.npy"}
    words = r"--only: expected files of small \(noise.tar, blur.tar\), got 'x'"
    with pytest.raises(ValueError, match=words):
        get(entry, tmp_path, only=["x"])


def test_a_deleted_file_is_got_again_and_nothing_else_is_touched(server, tmp_path):
    entry = small(server)
    get(entry, tmp_path)
    whole = everything(tmp_path)
    (tmp_path / "Set/fog/1/a.npy").unlink()
    (tmp_path / "Set/fog/mine.txt").write_bytes(b"mine")
    get(entry, tmp_path)
    assert everything(tmp_path) == whole | {"Set/fog/mine.txt": b"mine"}
    assert states(entry, tmp_path) == ["verified"]


def test_a_half_moved_archive_is_finished(server, tmp_path, monkeypatch):
    entry = small(server)
    with monkeypatch.context() as patched:
        patched.setattr("ctta.data.unpacking.moved", killed_after(1))
        with pytest.raises(KeyboardInterrupt):
            get(entry, tmp_path)
    assert set(everything(tmp_path)) == {"Set/fog/1/a.npy", "Set/fog/2/b.npy"}
    n = len(server.asked)
    get(entry, tmp_path)
    assert len(server.asked) == n  # the archive was whole
    assert len(everything(tmp_path)) == 3


def killed_after(n):
    """`moved` that is interrupted after ``n`` folders."""
    from ctta.data.unpacking import moved

    left = [n]

    def moving(source, target):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        moved(source, target)

    return moving


def test_an_interrupted_download_goes_on_from_the_command_line(
    miniatures, server, ctta, tmp_path, monkeypatch
):
    server.plan["/imagenet-a.tar"] = [Step(cut=2000)]
    with monkeypatch.context() as patched:
        patched.setattr(Lines, "advance", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        status, _, err = ctta("data", "download", "imagenet_a", "--root", str(tmp_path))
    assert status == 130
    assert "interrupted; what is finished is kept. Type the same command to go on." in err
    assert not (tmp_path / "imagenet-a").exists()
    status, _, err = ctta("data", "download", "imagenet_a", "--root", str(tmp_path))
    assert status == 0, err
    assert server.asked[-1][1] == "bytes=2000-"


def test_keep_leaves_the_archive_and_ones_own_is_never_removed(server, tmp_path):
    entry = small(server)
    get(entry, tmp_path / "kept", keep=True)
    archive = tmp_path / "kept" / "downloads" / "Set" / "noise.tar"
    assert archive.is_file()
    own = tmp_path / "own" / "downloads" / "Set" / "noise.tar"
    own.parent.mkdir(parents=True)
    own.write_bytes(archive.read_bytes())
    n = len(server.asked)
    get(entry, tmp_path / "own")
    assert own.is_file()
    assert len(server.asked) == n
    assert len(everything(tmp_path / "own")) == 3


# --- room -------------------------------------------------------------------------------------


def test_room_is_looked_for_before_the_first_byte(server, tmp_path, monkeypatch):
    entry = small(server)
    size = entry.files[0].size
    real = os.statvfs(tmp_path)
    found = {"free": int(2.2 * size) - 1}

    def statvfs(_):
        fields = list(real)
        fields[1], fields[4] = 1, found["free"]  # f_frsize, f_bavail
        return os.statvfs_result(fields)

    monkeypatch.setattr(os, "statvfs", statvfs)
    words = r": small takes 0.0 MiB with what it unpacks to, 0.0 MiB are free; make room, or set"
    with pytest.raises(ValueError, match=words):
        get(entry, tmp_path)
    assert server.asked == []
    with pytest.raises(ValueError, match=r"noise.tar takes .* make room"):
        get(small(server, known=False), tmp_path)  # only the server knows its size
    assert len(server.asked) == 1
    assert not list(tmp_path.rglob("*.part"))
    found["free"] += 1
    get(entry, tmp_path)


def test_room_is_for_one_archive_at_a_time(tmp_path):
    first = File("a.tar", (), 1000, None, ("Set/a",))
    second = File("b.tar", (), 5000, None, ("Set/b",))
    shelf = Shelf(Entry("small", "S", "Set", "", "", "", "", (first, second)), tmp_path)
    assert needed(shelf, [first, second], False) == 1200 + 5000 + 6000
    assert needed(shelf, [first, second], True) == 1000 + 1200 + 5000 + 6000
    shelf.part(second).parent.mkdir(parents=True)
    shelf.part(second).write_bytes(b"x" * 400)
    assert needed(shelf, [second], False) == 4600 + 6000


def test_a_disk_that_fills_up_keeps_what_came(server, tmp_path, largest_file):
    entry = small(server)
    with largest_file(2000), pytest.raises(ValueError) as error:
        get(entry, tmp_path)
    assert "noise.tar.part: cannot be written (File too large); what came is kept" in str(
        error.value
    )
    part = tmp_path / "downloads" / "Set" / "noise.tar.part"
    assert part.stat().st_size == 2000
    assert everything(tmp_path) == {}
    get(entry, tmp_path)
    assert server.asked[-1][1] == "bytes=2000-"
    assert len(everything(tmp_path)) == 3


def test_a_disk_that_fills_up_while_unpacking_leaves_nothing_half(server, tmp_path, largest_file):
    entry = small(server)
    own = tmp_path / "downloads" / "Set" / "noise.tar"
    own.parent.mkdir(parents=True)
    own.write_bytes(server.files["/noise.tar"])
    with largest_file(2000), pytest.raises(ValueError, match=r"unpacking: cannot be written"):
        get(entry, tmp_path)
    assert everything(tmp_path) == {}
    assert sorted(p.name for p in own.parent.iterdir()) == ["noise.tar"]


# --- two at once --------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from ctta.locks import alone
with alone(Path(sys.argv[1]), "small"):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_two_downloads_at_once(server, tmp_path):
    entry = small(server)
    (tmp_path / "downloads").mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "downloads" / "Set.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout.readline() == b"ready\n"
        words = rf"small: process {other.pid} on .* is at it already; wait for its end, then type"
        with pytest.raises(ValueError, match=words):
            get(entry, tmp_path)
        assert server.asked == []
        other.kill()
        other.wait()
    get(entry, tmp_path)  # a dead owner is none
    assert len(everything(tmp_path)) == 3


# --- no network -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["argument", "environment"])
def test_offline_takes_only_what_is_there(server, tmp_path, monkeypatch, way):
    more = {"no_network": True} if way == "argument" else {}
    if way == "environment":
        monkeypatch.setenv("CTTA_OFFLINE", "1")
    entry = small(server)
    words = r"Set/noise.tar: no such file, and there is no network \(CTTA_OFFLINE, --offline\)"
    with pytest.raises(ValueError, match=words):
        get(entry, tmp_path, **more)
    (tmp_path / "downloads" / "Set" / "noise.tar").write_bytes(server.files["/noise.tar"])
    get(entry, tmp_path, **more)
    assert len(everything(tmp_path)) == 3
    assert server.asked == []


def test_ones_own_archive_is_checked(server, tmp_path):
    own = tmp_path / "downloads" / "Set" / "noise.tar"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"Set/noise.tar: expected .* bytes, got 14; delete it"):
        get(small(server), tmp_path)
    assert everything(tmp_path) == {}


def test_streams_from_a_server_keep_to_it_too(tmp_path, monkeypatch):
    monkeypatch.setenv("CTTA_OFFLINE", "1")
    data = CCCShards(root=tmp_path, place="http://127.0.0.1:1", stream="s", speed=1000, n_images=3)
    with pytest.raises(ValueError, match=r"serial_00000.tar: CTTA_OFFLINE forbids the network"):
        next(data.blocks(0, 1))


# --- verify ---------------------------------------------------------------------------------------


def damage(root, what):
    file = root / "Set/fog/1/a.npy"
    if what == "byte":
        before = file.stat()
        file.write_bytes(b"2" + b"1" * 4999)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif what == "size":
        file.write_bytes(b"1")
    elif what == "missing":
        file.unlink()
    elif what == "extra":
        (root / "Set/fog/1/more.JPEG").write_bytes(b"1")
    elif what == "folder":
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("byte", "Set/fog/1/a.npy has sha256 "),
        ("size", "Set/fog/1/a.npy has 1 bytes, expected 5000"),
        ("missing", "Set/fog/1/a.npy is missing"),
        ("extra", "Set/fog/1/more.JPEG is not of noise.tar"),
        ("folder", "Set/fog/1/a.npy "),
    ],
)
def test_what_differs_is_named_and_remembered(server, tmp_path, monkeypatch, what, words):
    entry = small(server)
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    get(entry, tmp_path)
    assert stamp.verified("small", tmp_path) is True
    damage(tmp_path, what)
    (finding,) = verify(entry, tmp_path, Nobody())
    assert finding.state == "damaged"
    assert words in finding.text
    assert stamp.verified("small", tmp_path) is False


def test_many_problems_are_counted(server, tmp_path):
    members = {f"fog/{i}.npy": b"1" for i in range(9)} | {"snow/c.npy": b"3"}
    entry = small(server, **members)
    get(entry, tmp_path)
    for i in range(9):
        (tmp_path / f"Set/fog/{i}.npy").unlink()
    (finding,) = verify(entry, tmp_path, Nobody())
    assert finding.text.count("is missing") == 5
    assert finding.text.endswith(" and 4 more")


@pytest.mark.parametrize("what", ["size", "missing", "byte with another time"])
def test_a_mark_is_lost_with_a_change(server, tmp_path, monkeypatch, what):
    entry = small(server)
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    assert stamp.verified("small", tmp_path) is None
    get(entry, tmp_path)
    assert stamp.verified("small", tmp_path) is True
    damage(tmp_path, what.split()[0])
    if "time" in what:
        os.utime(tmp_path / "Set/fog/1/a.npy", ns=(1, 1))
    assert stamp.verified("small", tmp_path) is False


def test_a_mark_is_of_what_was_published_then(server, tmp_path, monkeypatch):
    entry = small(server)
    get(entry, tmp_path)
    changed = replace(entry, files=(replace(entry.files[0], md5="0" * 32),))
    monkeypatch.setattr(catalogue, "ENTRIES", (changed,))
    assert stamp.verified("small", tmp_path) is None
    assert states(changed, tmp_path) == ["complete"]
    monkeypatch.setattr(catalogue, "ENTRIES", (entry,))
    Shelf(entry, tmp_path).stamp(entry.files[0]).write_text("nonsense")
    assert stamp.verified("small", tmp_path) is None


def test_a_mark_of_many_files_looks_at_some(server, tmp_path, monkeypatch):
    monkeypatch.setattr(stamp, "MOST_FILES", 4)
    members = {f"fog/{i}.npy": b"1" for i in range(9)} | {"snow/c.npy": b"3"}
    entry = small(server, **members)
    get(entry, tmp_path)
    mark = json.loads(Shelf(entry, tmp_path).stamp(entry.files[0]).read_text())
    assert list(mark["files"]) == [
        "Set/fog/0.npy",
        "Set/fog/3.npy",
        "Set/fog/6.npy",
        "Set/snow/c.npy",
    ]


def unpacked_by_hand(server, root):
    entry = small(server)
    for path, content in {
        "fog/1/a.npy": b"1" * 5000,
        "fog/2/b.npy": b"2",
        "snow/c.npy": b"3",
    }.items():
        (root / "Set" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "Set" / path).write_bytes(content)
    return replace(entry, files=(replace(entry.files[0], n_files=3),))


def test_what_was_unpacked_by_hand_is_counted_and_proven_with_its_archive(server, tmp_path):
    entry = unpacked_by_hand(server, tmp_path)
    (finding,) = verify(entry, tmp_path, Nobody())
    assert finding.state == "complete"
    assert "only noise.tar has a published checksum: put it into" in finding.text
    get(entry, tmp_path)
    assert server.asked == []  # it is here already
    archive = tmp_path / "downloads" / "Set" / "noise.tar"
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(b"something else")
    (finding,) = verify(entry, tmp_path, Nobody())
    assert (finding.state, "delete it" in finding.text) == ("damaged", True)
    archive.write_bytes(server.files["/noise.tar"])
    assert states(entry, tmp_path) == ["verified"]
    assert archive.is_file()


def test_what_was_unpacked_by_hand_in_part_is_completed(server, tmp_path):
    entry = unpacked_by_hand(server, tmp_path)
    (tmp_path / "Set/fog/1/a.npy").unlink()
    (finding,) = verify(entry, tmp_path, Nobody())
    assert (finding.state, finding.text) == ("damaged", "expected 3 files, got 2")
    get(entry, tmp_path)
    assert len(everything(tmp_path)) == 3
    assert states(entry, tmp_path) == ["verified"]


def test_checksums_of_single_files_vouch_for_them(server, tmp_path):
    entry = unpacked_by_hand(server, tmp_path)
    known = {"fog/1/a.npy": b"1" * 5000, "fog/2/b.npy": b"2"}
    md5 = tuple((name, hashlib.md5(content).hexdigest()) for name, content in known.items())
    entry = replace(entry, md5=md5)
    assert states(entry, tmp_path) == ["verified"]
    (tmp_path / "Set/fog/2/b.npy").write_bytes(b"3")
    (finding,) = verify(entry, tmp_path, Nobody())
    assert finding.text.startswith("Set/fog/2/b.npy has md5 ")
    (tmp_path / "Set/fog/2/b.npy").unlink()
    get(entry, tmp_path)
    assert states(entry, tmp_path) == ["verified"]


def test_what_is_sorted_by_hand_is_counted(tmp_path, monkeypatch):
    entry = catalogue.entry("imagenet")
    val, train = (replace(file, n_files=n) for file, n in zip(entry.files, (1, 2), strict=True))
    entry = replace(entry, files=(val, train))
    for name in ("val", "train"):
        (tmp_path / "imagenet" / name / "n01440764").mkdir(parents=True)
        (tmp_path / "imagenet" / name / "n01440764" / "a.JPEG").write_bytes(b"1")
    archive = tmp_path / "downloads" / "imagenet" / "ILSVRC2012_img_val.tar"
    archive.parent.mkdir(parents=True)
    archive.write_bytes(b"as it is published")  # its files have other places
    first, second = verify(entry, tmp_path, Nobody())
    assert first.state == "complete"
    assert first.text == (
        "1 files, all there; no checksum of the files in ILSVRC2012_img_val.tar is published"
    )
    assert (second.state, second.text) == ("damaged", "expected 2 files, got 1")


def test_a_list_put_there_by_hand_is_compared(miniatures, server, tmp_path):
    entry = miniatures["imagenet_ids"]
    path = tmp_path / "imagenet_ids/imagenet_test_image_ids.txt"
    path.parent.mkdir()
    path.write_bytes(server.files["/imagenet_test_image_ids.txt"])
    assert states(entry, tmp_path) == ["verified"]
    path.write_bytes(path.read_bytes().upper())
    (finding,) = verify(entry, tmp_path, Nobody())
    assert (finding.state, "expected md5" in finding.text) == ("damaged", True)


def test_a_folder_of_someone_else_is_verified_without_a_mark(server, tmp_path, monkeypatch):
    entry = small(server)
    get(entry, tmp_path)
    said = []

    def leave(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(stamp, "leave", leave)
    watch = Nobody()
    watch.say = said.append
    assert [finding.state for finding in verify(entry, tmp_path, watch)] == ["verified"]
    assert said == ["runs will not know: no mark beside noise.tar (Permission denied)"]


# --- the command line -----------------------------------------------------------------------------


def test_list_shows_licence_and_terms_of_every_set(ctta):
    status, out, _ = ctta("data", "list")
    assert status == 0
    for entry in catalogue.ENTRIES:
        own = out.split(f"{entry.name}: {entry.title}\n")[1].split("\n  here:")[0]
        for text in (entry.licence, entry.terms, entry.page, entry.layout):
            assert text in own
    assert "2.7 GiB" in out
    status, out, _ = ctta("data", "list", "imagenet")
    assert "cifar10" not in out
    assert "put ILSVRC2012_img_val.tar, ILSVRC2012_devkit_t12.tar.gz" in out


def test_download_verify_and_path_from_the_command_line(miniatures, ctta, tmp_path, monkeypatch):
    monkeypatch.setenv("CTTA_DATA", str(tmp_path / "data"))
    status, out, _ = ctta("data", "path", "imagenet_a")
    assert (status, out) == (1, f"{tmp_path}/data/imagenet-a\n")
    assert ctta("data", "verify", "imagenet_a")[:2] == (
        1,
        "imagenet-a.tar: absent: no imagenet-a\n",
    )
    status, out, err = ctta("data", "download", "imagenet_a", "imagenet_ids")
    assert (status, out) == (0, "")
    assert "ImageNet-A: licence: repository MIT; the images fall under the terms" in err
    assert "imagenet-a.tar from 127.0.0.1" in err
    assert f"imagenet-a.tar is in {tmp_path}/data/imagenet-a" in err
    assert ctta("data", "path", "imagenet_a")[0] == 0
    status, out, _ = ctta("data", "verify", "imagenet_a", "imagenet_ids")
    assert (status, out.count(": verified: 1 files")) == (0, 2)
    all_of_it = ctta("data", "verify")
    assert (all_of_it[0], sorted(all_of_it[1].splitlines())) == (0, sorted(out.splitlines()))
    assert "1 of 1 files here, verified" in ctta("data", "list", "imagenet_a")[1]
    elsewhere = str(tmp_path / "elsewhere")
    assert ctta("data", "path", "imagenet_a", "--root", elsewhere)[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["download", "mnist"], "expected a data set (cifar10_c, "),
        (["verify", "mnist"], "got 'mnist'"),
        (["download", "imagenet"], "imagenet needs a login at https://image-net.org/download"),
        (["download", "imagenet"], "put ILSVRC2012_img_val.tar, ILSVRC2012_devkit_t12.tar.gz and"),
        (["download", "imagenet"], "expected there: val/<wnid>/ILSVRC2012_val_*.JPEG"),
        (["download", "cifar10_c", "--offline"], "CIFAR-10-C.tar: no such file, and there is no"),
        (["verify"], "no data set is in"),
        (["verify"], "type 'ctta data list', or give --root"),
        ([], "required: action"),
        (["download"], "required: name"),
    ],
)
def test_mistakes_get_a_line_that_says_what_to_do(ctta, arguments, words):
    status, _, err = ctta("data", *arguments)
    assert status == 2
    assert words in err
    assert "Traceback" not in err


def test_a_place_that_cannot_be_written_is_named(ctta, tmp_path):
    (tmp_path / "file").write_text("")
    status, _, err = ctta("data", "download", "cifar10_c", "--root", str(tmp_path / "file"))
    assert status == 2
    assert "(Not a directory); set CTTA_DATA (--root)" in err


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    def shown(terminal):
        out = io.StringIO()
        console = Console(file=out, force_terminal=terminal, width=100)
        with watching(console) as watch:
            watch.begin("a.tar from x", 0, 3 << 20)
            watch.advance(1 << 20)
            watch.say("a.tar [is] slow")
            watch.begin("unpacking a.tar", 0, None)
            watch.advance(2 << 20)
        return out.getvalue()

    assert shown(False) == ("a.tar from x: 0.0 of 3.0 MiB\na.tar [is] slow\nunpacking a.tar\n")
    assert "a.tar [is] slow" in shown(True)
    assert "\x1b[" in shown(True)
    monkeypatch.setattr("ctta.commands.progress.SECONDS_BETWEEN_LINES", 0.0)
    assert "a.tar from x: 1.0 of 3.0 MiB\n" in shown(False)
    assert "unpacking a.tar: 2.0 MiB\n" in shown(False)
