"""Every method of the configuration keeps the contract, over a CNN and a transformer."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from ctta.assets import asset_dir
from ctta.build import build
from ctta.testing import check_method

METHODS = sorted(path.stem for path in (asset_dir("configs") / "method").glob("*.yaml"))


@pytest.mark.parametrize("name", METHODS)
def test_the_contract_holds(name):
    with initialize_config_dir(version_base="1.3", config_dir=str(asset_dir("configs"))):
        composed = compose("config", overrides=[f"method={name}", "dataset=digits_c"])
    node = OmegaConf.to_container(composed.method, resolve=True)
    check_method(lambda model: build(node, "method", model=model, seed=0))
