"""Every corruption against the reference outputs, with the reference's own draws injected.

The 32x32 files lie beside the tests; the full set (224x224 too) is found through CTTA_GOLDEN or in
../shared/golden next to the repository. Limits: section 6 of the corruptions page.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ctta.data.corruptions import ALL, functions, parameters

ROOT = Path(__file__).resolve().parents[2]
SLIM = ROOT / "tests" / "golden_data" / "corruptions"
FULL = Path(os.environ.get("CTTA_GOLDEN", ROOT.parent / "shared" / "golden")) / "corruptions"

# Largest share of values that may differ, and by how many levels.
LIMITS = {
    "gaussian_noise": (0, 0),
    "shot_noise": (0, 0),
    "impulse_noise": (0, 0),
    "speckle_noise": (0, 0),
    "pixelate": (0, 0),
    "fog": (0, 0),
    "frost": (0, 0),
    "contrast": (0.02, 1),
    "brightness": (0.02, 1),
    "saturate": (0.15, 1),
    "motion_blur": (0.03, 1),
    "zoom_blur": (0.03, 1),
    "gaussian_blur": (0.03, 1),
    "glass_blur": (0.03, 2),
    "defocus_blur": (0.15, 1),
    "snow": (0.03, 1),
    "elastic_transform": (0.05, 1),
    "jpeg_compression": (0.003, 1),
    "spatter": (0.003, 1),
}
# Current libraries differ from the pinned ones here; the current ones are the aim.
ALTERNATIVE = {"elastic_transform", "jpeg_compression", "spatter"}


def to_tensor(hwc):
    return torch.from_numpy(np.ascontiguousarray(hwc.transpose(0, 3, 1, 2)))


def unpack(bits, shape):
    n = int(np.prod(shape))
    return to_tensor(np.unpackbits(bits)[:n].reshape(shape).astype(bool))


def injected_draws(name, file, severity, shape):
    """The recorded draws under the names that the apply functions take."""
    raw = {key.removeprefix("draw/"): file[key] for key in file.files if key.startswith("draw/")}
    raw |= {key.split("/", 1)[1]: v for key, v in raw.items() if key.startswith(f"s{severity}/")}
    draws = {}
    if name in ("gaussian_noise", "speckle_noise"):
        draws["z"] = to_tensor(raw["z_i8"] / 32)
    elif name in ("snow", "spatter"):
        draws["z"] = torch.from_numpy(raw["z_i8"] / 32)
    elif name == "shot_noise":
        draws["counts"] = to_tensor(raw["counts"].astype(np.int32))
    elif name == "impulse_noise":
        draws["hit"] = unpack(raw["flipped"], shape)
        draws["salt"] = unpack(raw["salted"], shape)
    elif name == "fog":
        draws["u"] = torch.from_numpy(raw["u_i8"] / 128)
    elif name == "frost":
        draws["crop"] = to_tensor(raw["crop_rgb"])
    elif name == "glass_blur":
        draws["dxdy"] = torch.from_numpy(raw["dxdy"].astype(np.int64))
    elif name == "elastic_transform":
        draws["points"] = torch.from_numpy(raw["u_pts"].astype(np.float64))
        draws["dx"] = torch.from_numpy(raw["u_dx_i8"] / 128)
        draws["dy"] = torch.from_numpy(raw["u_dy_i8"] / 128)
    if "angle" in raw:
        draws["angle"] = torch.from_numpy(raw["angle"])
    return draws


def expected_output(name, file, severity, x):
    y = file[f"y_s{severity}"] if f"y_s{severity}" in file.files else x + file[f"r_s{severity}"]
    if name in ALTERNATIVE and f"alt_r_s{severity}" in file.files:
        y = y + file[f"alt_r_s{severity}"]
    return y


def compare(folder, name, side):
    x = np.load(folder / "inputs.npz")[f"x{side}"]
    file = np.load(folder / f"{name}_{side}.npz")
    share, levels = LIMITS[name]
    for severity in json.loads(str(file["meta"]))["severities"]:
        draws = injected_draws(name, file, severity, x.shape)
        params = parameters(name, severity, "cifar" if side == 32 else "imagenet")
        got = functions(name)[1](to_tensor(x), params, draws)
        expected = to_tensor(expected_output(name, file, severity, x))
        difference = (got.int() - expected.int()).abs()
        found = float((difference > 0).double().mean()), int(difference.max())
        assert found[0] <= share and found[1] <= levels, (
            f"{name} at severity {severity}: {found[0]:.4%} of values differ, by up to "
            f"{found[1]}; allowed {share:.4%} and {levels}"
        )


@pytest.mark.parametrize("name", ALL)
def test_32(name):
    compare(SLIM, name, 32)


@pytest.mark.golden
@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("name", ALL)
def test_full_set(name, side):
    if not FULL.is_dir():
        pytest.skip(f"no golden set in {FULL}; set CTTA_GOLDEN to the folder that holds it")
    compare(FULL, name, side)


def test_every_corruption_has_a_slim_file():
    assert {path.name.removesuffix("_32.npz") for path in SLIM.glob("*_32.npz")} == set(ALL)
