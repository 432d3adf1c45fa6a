"""Published configurations over miniature data: plan and hashes."""

from pathlib import Path

import miniature
import pytest

from ctta.assets import asset_dir

FOLDER = asset_dir("configs") / "experiment"
NAMES = sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.yaml"))
OWN_LIST = ["dataset.subset=own", "dataset.list_file={root}/list.txt"]  # not the published images
# One of each data set, with the number of runs that it is the mean over.
SOME = {
    "cifar10_c/continual/cotta": 1,
    "cifar100_c/continual_vit_384/vida": 1,
    "imagenet_c/label_shift/tent": 1,
    "imagenet_r/correlated_swin_b/sar": 5,
    "imagenet_sketch/single_domain/source": 1,
    "domainnet126/recurring_rotta/rotta": 1,
    "imagenet_d109/continual_shuffled/source": 1,
    "imagenet_d109/mixed_correlated_swin_b/lame": 5,
    "digits_c/first_100/tent": 1,
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The data sets of the published configurations."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:  # a plan reads no pixels
        patch.setattr(miniature, "N_SHOWN", 0)
        patch.setattr(miniature, "jpeg", empty)
        for n_classes in (10, 100):
            miniature.cifar_c(folder, n_classes, miniature.CORRUPTIONS_19[:15])
        miniature.imagenet_c(folder, corruptions=tuple(miniature.CORRUPTIONS_19[:15]))
        for name in ("imagenet_r", "imagenet_sketch"):
            miniature.variant(folder, name)
        miniature.domainnet(folder)
        miniature.imagenet_d109(folder, 20)  # enough for the smallest chunk of a Dirichlet stream
    return folder


def empty(path, *_):
    """A file without content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def dry_run(ctta, monkeypatch, root, name):
    monkeypatch.setenv("CTTA_DATA", str(root))
    more = []
    if name.startswith("imagenet_c"):
        more = [override.format(root=root) for override in OWN_LIST]
    elif name.startswith("imagenet_d109/mixed_correlated"):  # 15 images are too few for its chunks
        more = ["stream.parameters.smallest_chunk=0"]
    status, out, err = ctta("run", "--dry-run", f"experiment={name}", *more)
    assert status == 0, out + err
    assert out.count("protocol_sha256") == out.count("stream_sha256")
    assert not Path("runs").exists()
    return out


@pytest.mark.parametrize("name", SOME)
def test_a_dry_run_prints_plan_and_hashes(ctta, monkeypatch, root, name):
    assert dry_run(ctta, monkeypatch, root, name).count("stream_sha256") == SOME[name]


def test_every_data_set_is_among_them():
    assert {n.partition("/")[0] for n in SOME} == {n.partition("/")[0] for n in NAMES}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_dry_run_prints_plan_and_hashes(ctta, monkeypatch, root, name):
    assert "stream_sha256" in dry_run(ctta, monkeypatch, root, name)
