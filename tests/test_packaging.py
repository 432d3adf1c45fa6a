"""The wheel, in an empty environment away from the checkout, runs the demo."""

import os
import subprocess
import sys
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from ctta.commands.new_method import TEMPLATE

CHECKOUT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, CHECKOUT], check=True
    )
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_configs_and_cuda_sources(wheel):
    names = set(ZipFile(wheel).namelist())
    shipped = [p.relative_to(CHECKOUT) for p in (CHECKOUT / "configs").rglob("*.yaml")]
    assert shipped
    assert {f"ctta/{path.as_posix()}" for path in shipped} <= names
    folder = CHECKOUT / "leaderboard" / "published"
    published = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
    assert {f"ctta/published/{path.as_posix()}" for path in published} <= names
    assert "ctta/published/weights/digits_cnn.safetensors" in names
    assert {"ctta/cuda/README.md", "ctta/py.typed", "ctta/configs/citations.bib"} <= names
    template = [path for path in TEMPLATE.rglob("*") if path.suffix in (".py", ".toml", ".yaml")]
    assert {path.relative_to(CHECKOUT).as_posix() for path in template} <= names


def test_the_demo_runs_from_the_wheel(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=True)
    command = tmp_path / "env" / "bin"
    subprocess.run([command / "python", "-m", "pip", "install", "--quiet", wheel], check=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    environment |= {"CTTA_CACHE": str(tmp_path / "cache"), "CTTA_RUNS": str(tmp_path / "runs")}
    done = subprocess.run(
        [command / "ctta", "run", "sweep=demo", "dataset.n_images=64"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cotta" in done.stdout
    results = sorted((tmp_path / "runs").glob("*/result.json"))
    assert len(results) == len(list((CHECKOUT / "configs" / "method").glob("*.yaml")))
    assert len(list((tmp_path / "runs").glob("*.png"))) == 2
    done = subprocess.run(
        [command / "ctta", "reproduce", "tent/digits_c/first_100"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS: tent/digits_c/first_100" in done.stdout
