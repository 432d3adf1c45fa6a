"""Fixtures that several folders share."""

import os
import resource
import signal
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ctta import cli

# The networks are tiny: a second thread only waits, on a busy machine for longer than it works.
torch.set_num_threads(1)
# A script's background job is started with Ctrl-C ignored, and so would be what is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val, argname):
    """Bytes give a test no name: an archive's hold the time, which xdist's workers do not share."""
    return argname if isinstance(val, bytes) else None


def pytest_runtest_setup(item):
    """Tests of a device are skipped where there is none."""
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """A folder for the session and all its workers: use `ctta.locks.making` inside."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def digits_cache(tmp_path_factory, shared_folder):
    """A cache folder for the session; the trained digits models are those of all its workers."""
    folder, models = tmp_path_factory.mktemp("cache"), shared_folder / "models"
    models.mkdir(exist_ok=True)
    (folder / "models").symlink_to(models, target_is_directory=True)
    return folder


@pytest.fixture
def ctta(monkeypatch, tmp_path, capfd, digits_cache):
    """Call the command line in a folder of its own; returns (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CTTA_CACHE", str(digits_cache))
    monkeypatch.setenv("CTTA_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["ctta"])
    # Where coverage is measured, Hydra takes the tracing for a debugger and lets errors through.
    monkeypatch.setattr("hydra._internal.utils.is_under_debugger", lambda: False)

    def call(*arguments: str):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        out, err = capfd.readouterr()
        return stopped.value.code, out, err

    return call


@pytest.fixture(scope="session")
def missing():
    """Skip for want of a program; fail where CTTA_REQUIRE names it, as in "browser latex slurm"."""

    def say(name: str, reason: str):
        required = name in os.environ.get("CTTA_REQUIRE", "").split()
        (pytest.fail if required else pytest.skip)(reason)

    return say


@pytest.fixture
def process():
    """Start a Python process that runs a text, up to where it prints "ready"."""
    started = []

    def start(text, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", text, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def largest_file():
    """No file can grow beyond so many bytes: the system's own refusal, as on a full disk."""

    @contextmanager
    def limited(n_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def install(monkeypatch, tmp_path_factory):
    """Make a project's packages importable and its entry points known, as an installer would."""
    before = set(sys.modules)
    projects = []

    def install(project: Path) -> None:
        declared = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        name, version = declared["name"], declared["version"]
        site = tmp_path_factory.mktemp("site")
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, points in declared["entry-points"].items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        for folder in (site, project):
            monkeypatch.syspath_prepend(folder)
        projects.append(project)

    yield install
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and any(project in Path(file).parents for project in projects):
            del sys.modules[name]
