"""Every configuration composes, and its keys are those of the callable that it names."""

import inspect
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import locate

CONFIGS = asset_dir("configs")
TARGETS = sorted(
    path
    for group in ("dataset", "stream", "model", "method")
    for path in CONFIGS.glob(f"{group}/*.yaml")
)


def composed(*overrides: str):
    with initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        config = compose("config", overrides=list(overrides))
    return OmegaConf.to_container(config, resolve=True)


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


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.glob("tuned/*/*.yaml")), ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_tuned_values_change_existing_keys_and_name_their_source(path: Path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# @package _global_")
    assert "# no published value" in text or "arXiv" in text or " at " in text
    if "# no published value" in text:
        assert "taken from" in text or "searched" in text
    method = yaml.safe_load((CONFIGS / "method" / path.name).read_text(encoding="utf-8"))
    tuned = yaml.safe_load(text).get("method", {})
    assert tuned.keys() <= method.keys()
    assert "???" not in str({**method, **tuned}), "a tuned method has every value"


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
