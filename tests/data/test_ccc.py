"""CCC: published shards from disk and over HTTP, and streams generated on the fly."""

import tarfile
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise

import miniature
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from ctta.data import ccc_generated, ccc_shards
from ctta.data.ccc import ccc
from ctta.data.ccc_walk import find_path, noises, read_calibration, walk
from ctta.data.corruptions import TABLES
from ctta.streams.sequential import SequentialStream
from ctta.streams.stream import CorruptionStream

NAME = "baseline_20_transition+speed_1000_seed_43"


@pytest.fixture
def small_shards(monkeypatch):
    """Shards of five images instead of 25,000."""
    whole = ccc_shards.CCCShards.__init__

    def small(self, **arguments):
        whole(self, **arguments)
        assert self.shard_size == 25_000
        self.shard_size = 5

    monkeypatch.setattr(ccc_shards.CCCShards, "__init__", small)
    monkeypatch.setattr(ccc_shards, "WAIT_SECONDS", 0.0)


@pytest.fixture
def shards(tmp_path, small_shards):
    """A root with four shards of five."""
    miniature.ccc_shards(tmp_path / "CCC" / NAME, [5, 5, 5, 5])
    return tmp_path


def expected(folder, number):
    path = miniature.jpeg(folder / "expected.jpg", number)
    return transforms.PILToTensor()(Image.open(path))


def test_samples_come_in_the_order_of_the_shards(shards):
    data = ccc(root=shards, n_images=18)
    blocks = list(data.blocks(0, 4))
    assert [len(y) for _, y in blocks] == [4, 4, 4, 4, 2]
    assert torch.cat([y for _, y in blocks]).tolist() == list(range(18))
    for number in (0, 7, 17):
        assert torch.equal(blocks[number // 4][0][number % 4], expected(shards, number))


@pytest.mark.parametrize("start", [0, 4, 5, 8, 17])
def test_a_stream_goes_on_where_it_stood(shards, start):
    data = ccc(root=shards, n_images=18)
    labels = torch.cat([y for _, y in data.blocks(start, 3)])
    assert labels.tolist() == list(range(start, 18))


def test_shards_have_multiples_of_the_speed(tmp_path):
    for speed, size in ((1000, 25_000), (2000, 26_000), (5000, 25_000)):
        data = ccc(root=tmp_path, speed=speed)
        assert data.shard_size == size
        assert data.place.startswith("https://mlcloud.uni-tuebingen.de:7443/datasets/CCC/baseline_")
        assert data.n_images == 7_500_000


def test_the_stream_has_ids_hashes_and_one_start(shards):
    stream = SequentialStream(ccc(root=shards, n_images=18), batch_size=4)
    batches = list(stream)
    assert len(stream) == len(batches) == 5
    assert torch.cat([b.ids for b in batches]).tolist() == list(range(18))
    assert [b.fresh_start for b in batches] == [True, False, False, False, False]
    assert torch.equal(next(stream.batches(3)).x, batches[3].x)
    assert torch.equal(next(stream.firsts()).x, batches[0].x)
    shorter = SequentialStream(ccc(root=shards, n_images=17), batch_size=4)
    assert shorter.stream_sha256 != stream.stream_sha256
    with pytest.raises(ValueError, match="ccc has one order of its own; type stream=sequential"):
        CorruptionStream(stream.data)
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        SequentialStream(stream.data, batch_size=0)


def test_memory_does_not_grow_with_the_shards(tmp_path, small_shards):
    miniature.ccc_shards(tmp_path / "CCC" / NAME, [5] * 60)
    blocks = ccc(root=tmp_path, n_images=300).blocks(0, 5)
    tracemalloc.start()
    for _ in islice(blocks, 10):
        pass
    before = tracemalloc.get_traced_memory()[0]
    for _ in blocks:
        pass
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000


def rewrite(path, change):
    """The shard with (name, content) of each member changed."""
    with tarfile.open(path) as archive:
        content = [(m.name, archive.extractfile(m).read()) for m in archive]
    with tarfile.open(path, "w") as archive:
        for name, data in content:
            for new_name, new_data in change(name, data):
                miniature.tar_member(archive, new_name, new_data)


def without(suffix):
    return lambda n, d: [] if n == f"sample_2.{suffix}" else [(n, d)]


def replaced(suffix, content):
    return lambda n, d: [(n, content if n == f"sample_2.{suffix}" else d)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("output.cls"), r"serial_00001.tar: damaged or cut off \(sample_2 lacks input.jpg"),
        (replaced("output.cls", b"1000"), "sample_2.output.cls: expected a label from 0 to 999"),
        (replaced("output.cls", b"cat"), "expected a label from 0 to 999, got 'cat'"),
        (replaced("input.jpg", b"x"), r"00001.tar: sample_2: cannot be decoded \(no image\)"),
        (lambda n, d: [(n, d)] if n < "sample_3" else [], "it ends after 3 of 5 images"),
    ],
)
def test_bad_shards_are_named(shards, change, words):
    rewrite(shards / "CCC" / NAME / "serial_00001.tar", change)
    with pytest.raises(ValueError, match=words) as raised:
        list(ccc(root=shards, n_images=18).blocks(0, 4))
    assert "dataset.shards" in str(raised.value)


def test_other_things_than_small_files_in_a_shard_are_refused(shards):
    path = shards / "CCC" / NAME / "serial_00000.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("sample_0.input.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(ValueError, match=r"sample_0.input.jpg: expected a file of a few kB"):
        next(ccc(root=shards, n_images=3).blocks(0, 3))


def test_missing_and_truncated_shards_are_named(shards):
    folder = shards / "CCC" / NAME
    path = folder / "serial_00001.tar"
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"serial_00001.tar: damaged or cut off"):
        list(ccc(root=shards, n_images=18).blocks(0, 4))
    path.unlink()
    with pytest.raises(ValueError, match=r"serial_00001.tar: no such file; give dataset.shards"):
        list(ccc(root=shards, n_images=18).blocks(0, 4))
    with pytest.raises(ValueError, match=r"no such folder; give dataset.shards"):
        ccc(root=shards, shards=str(shards), n_images=18)


@pytest.fixture
def server(shards):
    """(address, log of requests, plan): the plan holds what goes wrong with the next requests."""
    requests, plan = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            fault = plan.pop(0) if plan else None
            if isinstance(fault, int):
                self.send_error(fault)
                return
            content = (shards / "CCC" / self.path.removeprefix("/CCC/")).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:20_000] if fault == "cut" else content)

        def log_message(self, *_):
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=service.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{service.server_port}/CCC", requests, plan
    service.shutdown()
    thread.join()
    service.server_close()


def remote_labels(shards, address):
    data = ccc(root=shards, shards=address, n_images=12)
    return torch.cat([y for _, y in data.blocks(0, 4)]).tolist()


def test_shards_are_read_over_http(shards, server):
    address, requests, _ = server
    assert remote_labels(shards, address) == list(range(12))
    assert requests == [f"/CCC/{NAME}/serial_{i:05}.tar" for i in range(3)]


@pytest.mark.parametrize("faults", [["cut"], ["cut", "cut"], [503], [429, "cut", 500]])
def test_a_connection_that_is_cut_is_taken_up_again(shards, server, faults):
    address, requests, plan = server
    plan.extend(faults)
    assert remote_labels(shards, address) == list(range(12))
    assert len(requests) == 3 + len(faults)


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ([404], "serial_00000.tar: the server answers 404; give dataset.shards"),
        ([403], "the server answers 403"),
        ([503] * 4, r"damaged or cut off \(HTTP Error 503"),
        (["cut"] * 4, "damaged or cut off"),
    ],
)
def test_a_server_that_does_not_answer_is_named(shards, server, faults, words):
    address, requests, plan = server
    plan.extend(faults)
    with pytest.raises(ValueError, match=words):
        remote_labels(shards, address)
    assert len(requests) == len(faults)


# --- generated ---------------------------------------------------------------------------------


# Recorded from find_path of oripress/CCC at 656dec3.
OFFICIAL = {
    20: [
        (19, 0), (18, 0), (18, 1), (17, 1), (17, 2), (16, 2), (15, 2), (15, 3), (14, 3),
        (14, 4), (13, 4), (13, 5), (12, 5), (12, 6), (11, 6), (11, 7), (10, 7), (10, 8),
        (9, 8), (9, 9), (8, 9), (8, 10), (7, 10), (7, 11), (7, 12), (6, 12), (6, 13), (5,
        13), (5, 14), (4, 14), (4, 15), (4, 16), (3, 16), (3, 17), (3, 18), (2, 18), (2,
        19), (2, 20), (1, 20), (0, 20),
    ],
    40: [
        (12, 0), (11, 0), (11, 1), (11, 2), (10, 2), (9, 2), (9, 3), (8, 3), (8, 4), (7,
        4), (7, 5), (6, 5), (6, 6), (6, 7), (5, 7), (4, 7), (4, 8), (4, 9), (3, 9), (3,
        10), (3, 11), (2, 11), (1, 11), (1, 12), (1, 13), (1, 14), (0, 14),
    ],
}  # fmt: skip


@pytest.mark.parametrize("target", OFFICIAL)
def test_a_path_is_the_official_one(target):
    first, second = np.mgrid[:21, :21]
    accuracy = np.clip(76 - 3.0 * first - 2.5 * second - 0.1 * first * second, 0, 100)
    assert find_path(accuracy, target) == OFFICIAL[target]


@given(seed=st.integers(0, 1000), target=st.sampled_from([20.0, 40.0]))
@settings(max_examples=25, deadline=None)
def test_a_path_fades_one_noise_and_raises_the_other(seed, target):
    first, second = np.mgrid[:21, :21]
    generator = np.random.Generator(np.random.PCG64(seed))
    slopes = generator.uniform(4, 6, 2)  # either noise alone goes down to 0 %
    accuracy = np.clip(76 - slopes[0] * first - slopes[1] * second, 0, 100)
    path = find_path(accuracy, target)
    assert path[0][1] == 0
    assert path[0][0] > 0
    assert path[-1][0] == 0
    moves = {(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(path)}
    assert moves <= {(-1, 0), (0, 1)}
    assert abs(np.mean([accuracy[p] for p in path]) - target) < 5


def test_a_walk_hands_the_second_noise_on(tmp_path):
    path = miniature.ccc_calibration(tmp_path / "m.pickle")
    matrices = read_calibration(path, noises(40), "")
    steps = list(islice(walk(matrices, 40, 43), 400))
    assert steps == list(islice(walk(matrices, 40, 43), 400))
    assert steps != list(islice(walk(matrices, 40, 44), 400))
    changes = 0
    for a, b in pairwise(steps):
        assert b.first != b.second
        if (a.first, a.second) != (b.first, b.second):
            changes += 1
            assert (a.second, 0.0) == (b.first, a.first_severity)
    assert changes > 3


def test_noises_by_difficulty():
    assert [len(noises(b)) for b in (0, 20, 40)] == [4, 13, 14]
    assert set(noises(40)) == set(miniature.CCC_NOISES)
    assert "jpeg" not in noises(20)


@pytest.fixture(scope="module")
def generated_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    miniature.imagenet_val(root)
    miniature.ccc_calibration(root / "CCC" / "ccc_accuracy_matrix.pickle")
    return root


def test_generated_images_do_not_depend_on_the_batches(generated_root):
    data = ccc(root=generated_root, form="generated", baseline=0, speed=3, n_images=8)
    whole = list(data.blocks(0, 8))
    assert [len(y) for _, y in whole] == [8]
    x, y = whole[0]
    assert (x.dtype, x.shape) == (torch.uint8, (8, 3, 224, 224))
    parts = list(data.blocks(2, 2))
    assert torch.equal(torch.cat([p for p, _ in parts]), x[2:])
    assert torch.equal(torch.cat([labels for _, labels in parts]), y[2:])
    many = ccc(root=generated_root, form="generated", baseline=0, speed=3, n_images=8, workers=5)
    assert torch.equal(next(many.blocks(0, 8))[0], x)
    other = ccc(root=generated_root, form="generated", baseline=0, speed=3, n_images=8, seed=44)
    assert not torch.equal(next(other.blocks(0, 8))[0], x)
    assert other.identity != data.identity


def test_labels_are_those_of_the_images(generated_root):
    data = ccc(root=generated_root, form="generated", speed=500, n_images=500)
    own = data.drawn(0)[:500]
    assert len(set(own.tolist())) == 500
    assert data.labels[own[:4]].tolist() == next(data.blocks(0, 4))[1].tolist()
    names = miniature.wnids()
    assert all(names[data.labels[i]] == data.names[i].split("/")[0] for i in own)


@pytest.mark.parametrize("corruption", list(noises(40)))
def test_every_noise_has_severities_between_the_table_rows(corruption):
    from ctta.data.ccc_walk import NOISES

    name, ids = NOISES[corruption], torch.arange(1)
    image = torch.from_numpy(miniature.noise(3, 1, 3, 224, 224) // 2 + 60)
    at = {s: ccc_generated.at_severity(image, name, s, ids, 0) for s in (0.0, 0.25, 1.0, 1.75, 5.0)}
    assert torch.equal(at[0.0], image)
    for severity, pixels in at.items():
        assert (pixels.dtype, pixels.shape) == (torch.uint8, image.shape)
        assert severity == 0 or not torch.equal(pixels, image)
    rows = TABLES["imagenet"][name]
    for severity in range(1, 6):
        assert ccc_generated.parameters_at(name, severity) == pytest.approx(rows[severity - 1])


def test_a_calibration_that_does_not_fit_is_named(generated_root, tmp_path):
    arguments = {"root": generated_root, "form": "generated", "n_images": 4}
    with pytest.raises(ValueError, match=r"no.pickle: no such file; type 'ctta data download ccc'"):
        ccc(**arguments, calibration=tmp_path / "no.pickle")
    (tmp_path / "m.pickle").write_bytes(miniature.python2_pickle({"n1_fog_n2_snow": 3}))
    with pytest.raises(ValueError, match=r"m.pickle: expected 'n1_.*' of 21 x 21 numbers"):
        ccc(**arguments, calibration=tmp_path / "m.pickle")
    with pytest.raises(ValueError, match=r"imagenet/val: no such folder; get it from"):
        ccc(
            root=tmp_path,
            form="generated",
            calibration=generated_root / "CCC" / "ccc_accuracy_matrix.pickle",
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"baseline": 30}, "baseline: expected 0 or 20 or 40, got 30"),
        ({"speed": 3}, "speed: expected 1000 or 2000 or 5000, got 3"),
        ({"form": "video"}, "form: expected shards or generated, got 'video'"),
        ({"n_images": 0}, "expected at least 1, 0 and 1"),
    ],
)
def test_mistakes_are_named(tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        ccc(root=tmp_path, **change)
