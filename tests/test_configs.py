"""Every configuration composes, and its keys are those of the callable that it names."""

import csv
import inspect
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import build, locate, optimizer_is_used
from ctta.results.tuning import tuning_record
from ctta.testing import tiny_cnn

CONFIGS = asset_dir("configs")
TARGETS = sorted(
    path
    for group in ("dataset", "stream", "model", "method")
    for path in CONFIGS.glob(f"{group}/*.yaml")
)


@cache
def unresolved(*overrides: str):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        return compose("config", overrides=list(overrides))


def composed(*overrides: str):
    return OmegaConf.to_container(unresolved(*overrides), resolve=True)


def keys_against_signature(node: dict, key: str) -> None:
    parameters = inspect.signature(locate(node, key)).parameters
    for name, value in node.items():
        assert name == "_target_" or name in parameters, f"{key}.{name}"
        if isinstance(value, dict) and "_target_" in value:
            keys_against_signature(value, f"{key}.{name}")


@pytest.mark.parametrize("path", TARGETS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_keys_are_keyword_arguments(path: Path):
    group = path.parent.name
    keys_against_signature(composed(f"{group}={path.stem}")[group], group)


TUNED = sorted(CONFIGS.glob("tuned/*/*.yaml"))
TUNED_MODEL = sorted(CONFIGS.glob("tuned_model/*/*/*.yaml"))


def with_values_of(method: str, *tuned: Path) -> dict:
    """The configuration of a method with tuned files, which may be for data sets without a loader.

    They are merged in at the top, where their first line makes Hydra put them, which takes longer.
    """
    values = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in tuned]
    merged = OmegaConf.merge(unresolved(f"method={method}", "~tuned"), *values)
    return OmegaConf.to_container(merged, resolve=True)


def check_builds(config: dict) -> None:
    """The method can be built, and leaves no key of the optimizer unused."""
    build(config["method"], "method", model=tiny_cnn(), seed=0)
    optimizer_is_used(config)


def check_keys(path: Path, method: str) -> None:
    """A tuned file changes values of keys that exist, and of no other node."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values.keys() <= {"optimizer", "method", "tuning"}
    known = {
        key: yaml.safe_load((CONFIGS / file).read_text(encoding="utf-8"))
        for key, file in (("optimizer", "config.yaml"), ("method", f"method/{method}.yaml"))
    }
    assert values.get("optimizer", {}).keys() <= known["optimizer"]["optimizer"].keys()
    assert values.get("method", {}).keys() <= known["method"].keys()


def check_source_lines(path: Path) -> None:
    """A file names its source, or the two lines that say what stands in."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# @package _global_"  # Hydra reads it from the first line only
    if lines[1] == "# no published value":
        stand_in = re.fullmatch(r"# taken from \w+/[\w-]+\b.*not tuned here.*", lines[2])
        assert stand_in or lines[2].startswith("# searched on the four validation corruptions")
    else:
        assert re.match(r"# source: [\w-]+/[\w-]+ at [0-9a-f]{7,8}, \S+", lines[1])


@pytest.mark.parametrize("path", TUNED, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_tuned_values_complete_the_method_and_name_their_source(path: Path):
    method = path.stem
    check_source_lines(path)
    check_keys(path, method)
    check_builds(with_values_of(method, path))


@pytest.mark.parametrize("path", TUNED_MODEL, ids=lambda p: "/".join(p.parts[-3:]))
def test_values_tuned_for_a_model_name_it_and_their_source(path: Path):
    data, method, model = path.parts[-3], path.parts[-2], path.stem
    check_source_lines(path)
    check_keys(path, method)
    assert (CONFIGS / "model" / f"{model}.yaml").is_file()
    config = with_values_of(method, CONFIGS / f"tuned/{data}/{method}.yaml", path)
    check_builds(config)
    chosen = (f"tuned={data}/{method}", f"tuned_model={data}/{method}/{model}")
    assert config == composed(f"method={method}", *chosen)


SEARCH = CONFIGS / "tuned/digits_c/search.csv"


@pytest.mark.parametrize(
    "path", [p for p in TUNED if p.parent.name == "digits_c"], ids=lambda p: p.stem
)
def test_budget_and_rank_of_the_digits_values_are_those_of_the_search(path: Path):
    with SEARCH.open(encoding="utf-8") as file:
        points = [row for row in csv.DictReader(file) if row["method"] == path.stem]
    tuning = yaml.safe_load(path.read_text(encoding="utf-8")).get("tuning")
    if path.stem == "frozen":  # has the values of the method inside
        assert (points, tuning) == ([], None)
        return
    chosen = {k: yaml.safe_load(v) for k, _, v in (s.partition("=") for s in tuning["values"])}
    found = [p for p in points if all(p[k] == str(v) for k, v in chosen.items())]
    assert len(found) == 1
    errors = [float(p["mean error %"]) for p in points if p["mean error %"] != "failed"]
    assert tuning["rank"] == 1 + sum(e < float(found[0]["mean error %"]) for e in errors)
    assert (tuning["points"], tuning["budget"]) == (len(points), 3 * len(points))
    used = tuning_record(composed(f"method={path.stem}") | {"names": {"dataset": "digits_c"}}, [])
    assert used.values == tuning["values"]


def test_every_data_set_has_values_for_every_method_that_needs_them():
    texts = {path.stem: path.read_text(encoding="utf-8") for path in CONFIGS.glob("method/*.yaml")}
    needy = {m for m, text in texts.items() if "optimizer: ${optimizer}" in text or "???" in text}
    needy.add("frozen")  # TENT inside
    found: dict[str, set[str]] = {}
    for path in TUNED:
        found.setdefault(path.parent.name, set()).add(path.stem)
    assert {"cifar10_c", "cifar100_c", "imagenet_c", "digits_c"} <= found.keys()
    assert {data: needy - methods for data, methods in found.items() if needy - methods} == {}


@pytest.mark.parametrize(
    ("tuned", "key", "value"),
    [
        ("cifar10_c/cotta", "method.unsure_below", 0.92),
        ("cifar100_c/cotta", "method.unsure_below", 0.72),
        ("imagenet_c/cotta", "optimizer.lr", 0.01),
        ("cifar100_c/eta", "method.redundancy_margin", 0.1),
        ("cifar100_c/rdumb", "method.redundancy_margin", 0.4),
        ("domainnet126/eata", "method.redundancy_margin", 0.1),
        ("ccc/eata", "method.fisher_weight", 2000.0),
        ("imagenet_3dcc/petal", "method.prior_weight", 1e-10),
        ("imagenet_c/petal", "method.prior_weight", 1e-11),
        ("cifar10_c/petal", "method.prior_weight", 1e-9),
        ("domainnet126/rmt", "method.warmup_steps", 390),
        ("imagenet_r/rmt", "method.warmup_steps", 781),
        ("cifar10_c/vida", "optimizer.lr", 1e-4),
        ("cifar100_c/vida", "optimizer.lr", 3e-4),
        ("cifar100_c/vida", "method.adapters_lr", 1e-6),
        ("imagenet_c/vida", "method.adapter_ema_decay", 0.8),
        ("imagenet_sketch/sar", "optimizer.lr", 0.00025),
        ("imagenet_d109/rotta", "optimizer.name", "adam"),
    ],
)
def test_published_values(tuned, key, value):
    """A few numbers of each paper, copied from the pages and not from the files."""
    config = composed(f"method={tuned.partition('/')[2]}", f"tuned={tuned}")
    node, _, name = key.partition(".")
    assert config[node][name] == value


def test_sar_takes_another_rate_for_transformers():
    chosen = ("method=sar", "tuned=imagenet_c/sar", "tuned_model=imagenet_c/sar/vit_b_16")
    assert composed(*chosen)["optimizer"]["lr"] == 0.001
    assert composed(*chosen)["optimizer"]["momentum"] == 0.9


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("method/*.yaml")), ids=lambda p: p.stem)
def test_a_value_stands_in_one_place(path: Path):
    """No default in code for what the YAML says, the shared arguments of every method apart."""
    node = composed(f"method={path.stem}")["method"]
    parameters = inspect.signature(locate(node, "method")).parameters
    shared = {"steps", "episodic", "seed", "reset", "variant"}  # official unless said otherwise
    absent = (inspect.Parameter.empty, None, False)
    for name in set(node) - {"_target_"} - shared:
        assert parameters[name].default in absent, name


@pytest.mark.parametrize("sweep", sorted(p.stem for p in CONFIGS.glob("sweep/*.yaml")))
def test_sweeps_compose(sweep):
    assert composed(f"sweep={sweep}")["seed"] == 0
