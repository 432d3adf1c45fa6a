"""Every golden file, replayed: the official numbers within each file's own tolerances."""

from pathlib import Path

import pytest
import torch
from harness import method_class, method_name, read_case, replay
from views import RefusedError

SLIM = Path(__file__).parents[1] / "golden_data"
OTHER_KINDS = ("corruptions",)


def pytest_generate_tests(metafunc):
    if "golden_file" not in metafunc.fixturenames:
        return
    given = metafunc.config.getoption("golden_dir", default=None)
    root = Path(given) if given else SLIM
    if not root.is_dir():
        raise pytest.UsageError(f"--golden-dir: expected a folder, got {root}")
    files = [f for f in sorted(root.glob("*/*.npz")) if f.parent.name not in OTHER_KINDS]
    if not files:
        raise pytest.UsageError(f"--golden-dir: no <method>/<anything>.npz under {root}")
    names = [f"{f.parent.name}/{f.stem}" for f in files]
    metafunc.parametrize("golden_file", files, ids=names)


def test_golden(golden_file, note_skipped, pytestconfig, monkeypatch):
    name = method_name(golden_file)
    cls = method_class(name)
    if cls is None:
        pytest.skip(f"not covered: no method '{name}'")
    device = pytestconfig.getoption("golden_device", default="cpu")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # not with products of 10 bits
    try:
        report = replay(read_case(golden_file), cls, device)
    except RefusedError as error:
        pytest.fail(f"refused: {error}", pytrace=False)
    if report.skipped:
        note_skipped(f"{golden_file.parent.name}/{golden_file.name}", report.skipped)
    if report.undecided:
        pytest.skip(f"undecided here: {report.undecided}")
    assert not report.failures, "\n".join(report.failures)
    if not report.compared:
        pytest.skip("nothing comparable: " + ", ".join(report.skipped))
