"""Every data set from end to end through `ctta run`, on miniature data in the published formats."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import miniature
import pytest
import yaml
from served import tar

from ctta.assets import asset_dir
from ctta.build import build
from ctta.data import catalogue
from ctta.data.imagenet_variants import ImageNetR
from ctta.data.shelf import Shelf
from ctta.streams.stream import CorruptionStream

OWN_LIST = ["dataset.subset=own", "dataset.list_file={root}/list.txt"]
# Name: (model, number of domains, whether forgetting is measured, overrides).
RUNS = {
    "cifar10_c": ("ten", 15, True, ["dataset.n_images=4"]),
    "cifar100_c": ("hundred", 15, True, ["dataset.n_images=4"]),
    "imagenet_c": ("thousand", 2, True, [*OWN_LIST, "dataset.corruptions=[fog,speckle_noise]"]),
    "imagenet_3dcc": ("thousand", 12, True, OWN_LIST),
    "imagenet_r": ("thousand", 1, True, ["dataset.n_images=4"]),
    "imagenet_a": ("thousand", 1, True, ["dataset.n_images=4"]),
    "imagenet_v2": ("thousand", 1, True, ["dataset.n_images=4"]),
    "imagenet_sketch": ("thousand", 1, True, ["dataset.n_images=4"]),
    "domainnet126": ("styles", 3, False, []),
    "imagenet_d109": ("thousand", 5, True, []),
    "folder": ("ten", 1, False, ["dataset.root={root}/mine"]),
    "corrupted": ("ten", 2, True, ["dataset.base={root}/mine", "dataset.corruptions=[fog,frost]"]),
    "ccc": ("thousand", 1, True, ["stream=sequential", "dataset.n_images=7"]),
}


def run(ctta, monkeypatch, root, name, *more):
    """(status, error text, results) of one run with a tiny model."""
    model, _, _, overrides = RUNS[name]
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.setenv("CTTA_DATA", str(root))
    status, out, err = ctta(
        "run",
        f"dataset={name}",
        "method=norm",
        "model=custom",
        f"model.target=tiny:{model}",
        "stream.batch_size=64",
        *(override.format(root=root) for override in overrides),
        *more,
    )
    results = [json.loads(path.read_text()) for path in Path("runs").glob("*/result.json")]
    return status, out + err, results


@pytest.mark.parametrize("name", RUNS)
def test_a_data_set_runs_from_end_to_end(name, ctta, monkeypatch, root):
    _, n_domains, forgetting, _ = RUNS[name]
    status, text, results = run(ctta, monkeypatch, root, name)
    assert status == 0, text
    (result,) = results
    assert result["status"] == "finished"
    assert result["data"]["identity"]["id"].startswith("own" if name == "corrupted" else name)
    assert len(result["error_by_domain"]) == n_domains
    assert ("forgetting_pct" in result["metrics"]) == forgetting


def test_every_configured_data_set_is_among_them():
    configured = {path.stem for path in (asset_dir("configs") / "dataset").glob("*.yaml")}
    assert configured == {*RUNS, "digits_c"}


def test_generated_ccc_runs_from_end_to_end(ctta, monkeypatch, root):
    more = ("dataset.form=generated", "dataset.baseline=0")
    status, text, results = run(ctta, monkeypatch, root, "ccc", *more)
    assert status == 0, text
    assert results[0]["data"]["identity"]["form"] == "generated"


def test_where_the_files_lie_is_no_part_of_a_run(ctta, monkeypatch, root, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.symlink_to(root)
    run(ctta, monkeypatch, root, "imagenet_c")
    more = ("dataset.workers=3", f"dataset.list_file={elsewhere}/list.txt")
    status, text, results = run(ctta, monkeypatch, elsewhere, "imagenet_c", *more)
    assert status == 0
    assert len(results) == 1
    assert "is finished already" in text


def test_workers_and_prefetch_change_no_bit(ctta, monkeypatch, root):
    status, text, (first,) = run(ctta, monkeypatch, root, "imagenet_c")
    assert status == 0, text
    more = ("dataset.workers=3", "compute.prefetch=2", "--force")
    status, text, (second,) = run(ctta, monkeypatch, root, "imagenet_c", *more)
    assert status == 0, text
    assert second["config"]["dataset"]["workers"] == 3
    assert (second["identity"], second["trace_sha256"]) == (
        first["identity"],
        first["trace_sha256"],
    )


def test_a_model_with_too_few_classes_is_refused(ctta, monkeypatch, root):
    more = ["model.target=tiny:ten"]
    status, text, _ = run(ctta, monkeypatch, root, "imagenet_c", *more)
    assert status == 1
    assert "model custom answers with 10 classes, but imagenet_c has labels of 1000" in text


@pytest.mark.parametrize(
    ("name", "more", "folder"),
    [
        ("cifar10_c", {}, "CIFAR-10-C"),
        ("cifar100_c", {}, "CIFAR-100-C"),
        ("imagenet_c", {}, "ImageNet-C"),
        ("imagenet_3dcc", {}, "ImageNet-3DCC"),
        ("imagenet_r", {}, "imagenet-r"),
        ("imagenet_a", {}, "imagenet-a"),
        ("imagenet_v2", {}, "imagenet-v2"),
        ("imagenet_sketch", {}, "ImageNet-Sketch"),
        ("domainnet126", {}, "DomainNet-126"),
        ("imagenet_d109", {}, "DomainNet-126"),
        ("ccc", {"form": "generated"}, "CCC"),
        ("ccc", {"shards": "{root}/shards"}, "shards"),
        ("folder", {"root": "{root}/mine"}, "mine"),
        ("corrupted", {"base": "cifar10"}, "cifar-10-batches-py"),
        ("corrupted", {"base": "cifar100"}, "cifar-100-python"),
        ("corrupted", {"base": "imagenet"}, "imagenet"),
    ],
)
def test_a_missing_root_is_one_line_with_the_remedy(tmp_path, caplog, name, more, folder):
    node = yaml.safe_load((asset_dir("configs") / "dataset" / f"{name}.yaml").read_text("utf-8"))
    node |= {key: value.format(root=tmp_path) for key, value in more.items()}
    with pytest.raises(ValueError) as raised:
        CorruptionStream(build(node, "dataset", root=tmp_path))
    message = str(raised.value)
    assert f"{tmp_path / folder}" in message
    assert any(w in message for w in ("type 'ctta data download ", "get it from http", "give "))
    assert any(w in message for w in ("CTTA_DATA", "dataset.root", "dataset.shards"))
    assert "\n" not in message
    assert not caplog.messages  # nothing of forgetting where there is no data set


def test_a_folder_without_labels_is_refused(ctta, monkeypatch, root):
    status, text, _ = run(ctta, monkeypatch, root, "folder", f"dataset.root={root}/mine/cat")
    assert status == 1
    assert "art_0.png: an image without a label" in text


def test_gradual_needs_severities(ctta, monkeypatch, root):
    status, text, _ = run(ctta, monkeypatch, root, "imagenet_r", "stream=gradual")
    assert status == 1
    assert "imagenet_r has no severities; take a stream without them" in text


def test_a_record_says_whether_its_files_are_as_published(
    ctta, server, tmp_path, tmp_path_factory, monkeypatch
):
    source = tmp_path_factory.mktemp("source")
    miniature.variant(source, "imagenet_r")
    content = tar({p.relative_to(source).as_posix(): p.read_bytes() for p in source.rglob("*.jpg")})
    server.files["/r"], md5 = content, hashlib.md5(content).hexdigest()
    published = catalogue.entry("imagenet_r")
    entry = replace(
        published,
        files=(
            replace(
                published.files[0],
                urls=(f"{server.url}/r",),
                size=len(content),
                md5=md5,
                sha256=None,
            ),
        ),
    )
    monkeypatch.setattr(catalogue, "ENTRIES", (entry, catalogue.entry("imagenet")))
    root = tmp_path / "data"
    monkeypatch.setenv("CTTA_DATA", str(root))
    assert ctta("data", "download", "imagenet_r")[0] == 0
    assert ImageNetR(root=root).verified() is True

    tiny = ("model=custom", "model.target=tiny:thousand", "dataset.n_images=3")
    status, out, err = ctta("run", "dataset=imagenet_r", "method=source", *tiny)
    assert status == 0, out + err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    assert json.loads(path.read_text())["data"]["verified"] is True
    os.utime(next((root / "imagenet-r").rglob("*.jpg")), ns=(1, 1))
    assert ImageNetR(root=root).verified() is False
    Shelf(entry, root).stamp(entry.files[0]).unlink()
    assert ImageNetR(root=root).verified() is None
