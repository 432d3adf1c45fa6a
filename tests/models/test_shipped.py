"""Weights that travel with the package."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from ctta.assets import asset_dir
from ctta.data.digits import DigitsC
from ctta.models.published import CardError
from ctta.models.shipped import SHIPPED, shipped_model

FOLDER = asset_dir("published") / "weights"


def test_every_file_is_small_and_has_a_model():
    files = {path.name: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == {shipped.file for shipped in SHIPPED.values()}
    assert max(files.values()) < 2**20


def test_the_model_classifies_and_is_verified():
    data = DigitsC()
    model = shipped_model(name="digits_cnn", data=data)
    assert model.card.verified
    assert model.card.deviations == ()
    images, labels = data.clean_test()
    with torch.no_grad():
        error = (model(images[:]).argmax(1) != labels).float().mean()
    assert error < 0.03


def test_other_weights_are_refused_or_mark_the_card(tmp_path):
    weights = load_file(FOLDER / "digits_cnn.safetensors")
    path = tmp_path / "other.safetensors"
    save_file({**weights, "fc.bias": weights["fc.bias"] + 1}, path)
    with pytest.raises(CardError, match=r"expected a file with SHA-256 21651bd0.*strict=false"):
        shipped_model(name="digits_cnn", weights=str(path))
    model = shipped_model(name="digits_cnn", weights=str(path), strict=False)
    assert not model.card.verified
    assert len(model.card.deviations) == 1


def test_a_missing_file_and_an_unknown_name_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"there is no file .*leave model\.weights out"):
        shipped_model(name="digits_cnn", weights=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"model\.name: expected one of digits_cnn, got 'vgg'"):
        shipped_model(name="vgg")
