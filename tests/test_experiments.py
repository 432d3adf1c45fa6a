"""`configs/experiment`: a file for each published row that can have one, and no other."""

import importlib.util
import sys
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.data.decoding import View
from ctta.data.domainnet import VIEW as DOMAINNET_VIEW
from ctta.data.imagenet import VIEWS
from ctta.leaderboard.published import published_rows
from ctta.models.cards import LIST_5000, LIST_ALL, PUBLISHED
from ctta.models.published import data_deviations
from ctta.results.result import Result

CHECKOUT = Path(__file__).parents[1]
CONFIGS = asset_dir("configs")
FILES = sorted((CONFIGS / "experiment").rglob("*.yaml"))
NAMES = [path.relative_to(CONFIGS / "experiment").with_suffix("").as_posix() for path in FILES]
PLACES = sorted({name.rpartition("/")[0] for name in NAMES})


@pytest.fixture(scope="module")
def script():
    """`data_scripts/experiments.py` as a module."""
    path = CHECKOUT / "data_scripts" / "experiments.py"
    spec = importlib.util.spec_from_file_location("experiments", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["experiments"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    yield module
    del sys.modules["experiments"]


def test_every_row_has_its_file_and_every_file_a_row():
    assert {row.experiment for row in published_rows() if row.experiment} == set(NAMES)


def test_files_and_page_are_what_the_script_makes_of_the_table(script):
    made = script.experiments()
    assert {n: p.read_text(encoding="utf-8") for n, p in zip(NAMES, FILES, strict=True)} == made
    page = (CHECKOUT / "docs" / "published.md").read_text(encoding="utf-8")
    assert page == script.page_text()
    assert script.PROTOCOLS.keys() == set(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_a_file_chooses_what_there_is_and_sets_known_keys(place):
    for path in (CONFIGS / "experiment" / place).glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        chosen = {}
        for line in values.pop("defaults"):
            ((group, name),) = line.items()
            chosen[group.removeprefix("override /")] = name
        assert chosen["dataset"] == place.partition("/")[0]
        assert chosen["method"] == path.stem
        assert set(chosen) == {"dataset", "stream", "model", "method"}
        values.pop("hydra", None)
        for group, keys in values.items():
            file = "config.yaml" if group == "online" else f"{group}/{chosen[group]}.yaml"
            known = yaml.safe_load((CONFIGS / file).read_text(encoding="utf-8"))
            known = known.get(group, known)  # some are packaged globally
            assert set(keys) <= set(known), path
        for group, name in chosen.items():
            assert (CONFIGS / group / f"{name}.yaml").is_file()


def identity(data, values):
    """What a data set with these values says of itself to a model's card."""
    if data in ("cifar10_c", "cifar100_c"):
        side = values.get("resize")
        resized = "" if side is None else f"resize {side} bilinear, as stored, "
        return {"id": data, "preprocessing": f"{resized}uint8 / 255"}
    if data == "imagenet_c":
        view = VIEWS[values.get("preprocessing", "as_stored")]
        images = LIST_ALL if values.get("subset") == "all" else LIST_5000
        return {"id": data, "preprocessing": f"{view}, uint8 / 255", "list_sha256": images}
    if data == "domainnet126":
        return {"id": data, "preprocessing": f"{DOMAINNET_VIEW}, uint8 / 255"}
    view = View(**{"resize": 256, "crop": 224, **values})
    return {"id": data, "preprocessing": f"{view}, uint8 / 255"}


@pytest.mark.parametrize("place", [p for p in PLACES if not p.startswith("digits_c")])
def test_no_card_refuses_a_published_configuration(place):
    for path in (CONFIGS / "experiment" / place).glob("*.yaml"):
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        (model,) = (v for d in values["defaults"] for k, v in d.items() if k.endswith("/model"))
        text = (CONFIGS / "model" / f"{model}.yaml").read_text(encoding="utf-8")
        card = PUBLISHED[yaml.safe_load(text)["name"]].card
        plain = values.get("model", {}).get("normalisation") == "none"
        normalised = card.mean is not None and not plain
        data = identity(place.partition("/")[0], values.get("dataset", {}))
        assert data_deviations(card, normalised, data) == [], path


def composed(names):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        for name in names:
            config = compose("config", overrides=[f"experiment={name}"])
            yield name, OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def test_some_files_compose_with_what_is_tuned():
    check_composed(NAMES[::25])


@pytest.mark.slow
def test_every_file_composes_with_what_is_tuned():
    check_composed(NAMES)


def check_composed(names):
    for name, config in composed(names):
        method = name.rpartition("/")[2]
        if "optimizer" in config["method"]:
            assert config["method"]["optimizer"]["lr"] is not None, name
        else:
            assert method in ("source", "norm", "lame")
        row = next(r for r in published_rows() if r.experiment == name)
        assert config["dataset"]["_target_"]
        for value, key in ((row.batch_size, "batch_size"), (row.rounds, "rounds")):
            if value not in (None, 1):
                assert config["stream"][key] == value, name
        model = Path(CONFIGS / "model" / f"{row.model}.yaml")
        published = yaml.safe_load(model.read_text(encoding="utf-8"))
        assert config["model"]["name"] == published["name"]


def test_our_own_rows_have_records_of_the_same_numbers():
    own = [row for row in published_rows() if row.evidence == "own"]
    folder = asset_dir("published") / "records"
    names = {p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.json")}
    assert {row.experiment for row in own} == names
    for row in own:
        record = Result.load(folder / f"{row.experiment}.json")
        assert record.metrics["error_pct"] == pytest.approx(row.value, abs=0.005)
        assert set(record.config["paths"].values()) == {None}
