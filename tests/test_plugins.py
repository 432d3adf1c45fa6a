"""Installed configs: found without importing, two owners of one name refused."""

import sys
from importlib.metadata import EntryPoint

import pytest

from ctta import plugins
from ctta.assets import asset_dir


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretend that a package `ctta_plugin_x` with configs is installed."""

    def install(**files: str):
        package = tmp_path / "ctta_plugin_x"
        for name, text in {"__init__.py": "raise RuntimeError('imported')", **files}.items():
            path = package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        point = EntryPoint("x", "ctta_plugin_x", plugins.ENTRY_POINT_GROUP)
        monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
        return package

    return install


def test_a_plugin_is_found_and_not_imported(installed):
    package = installed(**{"method/mine.yaml": "# Mine."})
    assert plugins.config_folders() == {"x": package}
    assert plugins.choices(package) == {"method": ["mine"]}
    assert "ctta_plugin_x" not in sys.modules


def test_a_name_that_exists_is_refused_with_both_owners(installed):
    installed(**{"method/tent.yaml": ""})
    with pytest.raises(ValueError, match=r"method=tent is provided by both 'ctta' and 'x'"):
        plugins.all_folders()


def test_a_missing_package_is_named(monkeypatch):
    point = EntryPoint("x", "ctta_plugin_gone", plugins.ENTRY_POINT_GROUP)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    with pytest.raises(ValueError, match="plug-in 'x': expected the package 'ctta_plugin_gone'"):
        plugins.config_folders()


def test_the_built_in_groups():
    groups = plugins.choices(asset_dir("configs"))
    assert {"dataset", "stream", "model", "method", "tuned/digits_c"} <= set(groups)
