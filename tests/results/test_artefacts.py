"""What is prepared from source data: cached by content, rebuilt when damaged or out of date."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ctta.data.source import SourceData
from ctta.methods.adanpc import AdaNPC
from ctta.methods.eata import EATA
from ctta.methods.frozen import Frozen
from ctta.methods.psmt import PSMT
from ctta.results.artefacts import prepare
from ctta.testing import batches, tiny_cnn

ARGUMENTS = {
    "n_neighbors": 3,
    "temperature": 0.1,
    "min_confidence": 0.0,
    "confidence": "vote",
    "score_floor": 1e-5,
    "random_first_row": False,
}


def source(identity="noise"):
    images = torch.cat(batches(4, seed=3))
    return SourceData(images, torch.arange(24) % 5, identity=identity)


def ready(tmp_path, *, weights="w", data=None, **changes):
    method = AdaNPC(tiny_cnn(), **{**ARGUMENTS, **changes})
    return method, prepare(method, data or source(), weights=weights, cache=tmp_path)


def files(tmp_path):
    return sorted((tmp_path / "artefacts").iterdir())


def test_the_second_time_it_is_read_and_gives_the_same_bits(tmp_path, monkeypatch):
    first, record = ready(tmp_path)
    monkeypatch.delattr(AdaNPC, "artefact")
    second, again = ready(tmp_path)
    assert record.sha256 == again.sha256
    assert (record.n_images, len(files(tmp_path))) == (24, 1)
    for x in batches(2):
        assert torch.equal(first(x), second(x))


FISHER = {"optimizer": {"name": "sgd", "lr": 0.01}, "fisher_weight": 1.0, "source_batch_size": 4}
EATA_ONLY = {"entropy_margin": 0.4, "redundancy_margin": 0.05, "prob_ema_decay": 0.9}
PSMT_ONLY = {"ema_decay": 0.9, "fisher_quantile": 0.03}


@pytest.mark.parametrize(
    ("made", "arguments", "images"),
    [
        (AdaNPC, ARGUMENTS, "24 source images"),
        (AdaNPC, ARGUMENTS | {"source_per_class": 2}, "10 of 24 source images"),
        (EATA, FISHER | EATA_ONLY | {"source_samples": 7}, "7 of 24 source images"),
        (EATA, FISHER | EATA_ONLY | {"source_samples": 2000}, "24 source images"),
        (PSMT, FISHER | PSMT_ONLY | {"source_samples": 9}, "9 of 24 source images"),
    ],
)
def test_it_is_said_how_many_images_are_used(tmp_path, caplog, made, arguments, images):
    """By a frozen method too."""
    caplog.set_level("INFO")
    for method in (made(tiny_cnn(), **arguments), Frozen(made(tiny_cnn(), **arguments), after=3)):
        prepare(method, source(), weights="w", cache=tmp_path)
        assert f"preparing {type(method).__name__.lower()} from {images};" in caplog.text


def test_reset_goes_back_to_the_prepared_memory(tmp_path):
    method, _ = ready(tmp_path)
    answers = [method(x) for x in batches(2)]
    assert method.memory_size == 24 + 12
    method.reset()
    assert method.memory_size == 24
    for x, answer in zip(batches(2), answers, strict=True):
        assert torch.equal(method(x), answer)


def test_a_damaged_file_is_built_again(tmp_path, caplog):
    _, record = ready(tmp_path)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    for damage in (whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damage)
        caplog.clear()
        assert ready(tmp_path)[1].sha256 == record.sha256
        assert "is damaged; it is made again" in caplog.text
        caplog.clear()
        ready(tmp_path)
        assert not caplog.text


def test_of_two_at_once_one_builds(tmp_path, monkeypatch):
    built, artefact = [], AdaNPC.artefact

    def slowly(self, source):
        built.append(self)
        time.sleep(0.1)
        return artefact(self, source)

    monkeypatch.setattr(AdaNPC, "artefact", slowly)
    with ThreadPoolExecutor() as pool:
        records = [r for _, r in pool.map(lambda _: ready(tmp_path), range(3))]
    assert (len(built), len({r.sha256 for r in records})) == (1, 1)
    assert len(files(tmp_path)) == 1


def test_what_it_depends_on_has_a_file_of_its_own(tmp_path):
    ready(tmp_path)
    for change in (
        {"weights": "v"},
        {"data": source("other noise")},
        {"source_per_class": 2},
    ):
        before = len(files(tmp_path))
        ready(tmp_path, **change)
        assert len(files(tmp_path)) == before + 1
    ready(tmp_path, n_neighbors=2)
    assert len(files(tmp_path)) == 4


def test_a_balanced_part_has_as_many_of_each_class(tmp_path):
    method, _ = ready(tmp_path, source_per_class=2)
    assert torch.bincount(method.memory_label).tolist() == [2] * 5
