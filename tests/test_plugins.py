"""Plug-ins: found without importing, for every group, and the broken ones harm nobody."""

import json
import sys
from pathlib import Path

import pytest

from ctta import plugins
from ctta.assets import asset_dir

EXAMPLES = Path(__file__).parent / "plugins"
QUICK = ["dataset.n_images=16", "stream.batch_size=16", "dataset.corruptions=[contrast]"]
WORKING = """
from ctta.methods.source import Source

class Mine(Source):
    def __init__(self, model, *, rate=1, **shared):
        super().__init__(model, **shared)
"""
YAML = "_target_: ctta_plugin_{}.method.Mine\n"


@pytest.fixture
def plugin(install, tmp_path):
    """Install a plug-in of a name with some files; its package cannot be imported by default."""

    def plugin(name: str, files: dict[str, str], value: str = "ctta_plugin_{}") -> Path:
        project = tmp_path / f"project_{name}"
        files = {"__init__.py": "raise RuntimeError('imported')", **files}
        for path, text in files.items():
            file = project / f"ctta_plugin_{name}" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (project / "pyproject.toml").write_text(
            f'[project]\nname = "ctta-plugin-{name}"\nversion = "1"\n'
            f'[project.entry-points."{plugins.ENTRY_POINT_GROUP}"]\n'
            f'{name} = "{value.format(name)}"\n'
        )
        install(project)
        return project / f"ctta_plugin_{name}"

    return plugin


def sound(name: str) -> dict[str, str]:
    """The files of a plug-in that works, with the method of its name."""
    return {
        "__init__.py": "",
        "method.py": WORKING,
        f"method/{name}.yaml": YAML.format(name),
    }


def test_a_plugin_is_found_and_not_imported(plugin):
    package = plugin("x", {"method/mine.yaml": "# Mine."})
    assert plugins.all_folders()["x"] == package
    assert plugins.choices(package) == {"method": ["mine"]}
    assert "ctta_plugin_x" not in sys.modules


def test_a_folder_in_a_package_is_found_and_not_imported_either(plugin):
    package = plugin("x", {"conf/method/mine.yaml": ""}, value="ctta_plugin_{}.conf")
    assert plugins.all_folders()["x"] == package / "conf"
    assert "ctta_plugin_x" not in sys.modules


def test_the_built_in_groups():
    groups = plugins.choices(asset_dir("configs"))
    assert {"dataset", "stream", "model", "method", "tuned/digits_c"} <= set(groups)


@pytest.mark.parametrize(
    ("files", "value", "words"),
    [
        ({"method/tent.yaml": ""}, "ctta_plugin_{}", "method=tent is provided by 'ctta' and 'bad'"),
        ({}, "ctta_plugin_gone", "expected configs in 'ctta_plugin_gone'"),
        ({}, "ctta_plugin_{}.conf", "expected configs in 'ctta_plugin_bad.conf'"),
    ],
)
def test_one_that_cannot_be_used_is_left_out_by_name(plugin, ctta, files, value, words):
    plugin("bad", files, value)
    plugin("good", sound("good"))
    found = plugins.installed()
    assert list(found.folders) == ["ctta", "good"]
    assert words in found.left_out["bad"]
    status, out, err = ctta("list", "method")
    assert (status, "good" in out) == (0, True)
    assert f"plug-in 'bad' is left out: {words}" in " ".join(err.split())


def test_two_plugins_with_one_name_are_both_left_out(plugin):
    for name in ("a", "b"):
        plugin(name, {"method/mine.yaml": ""})
    found = plugins.installed()
    assert list(found.folders) == ["ctta"]
    assert set(found.left_out) == {"a", "b"}
    assert "provided by 'a' and 'b'" in " ".join(found.left_out["a"].split())


BROKEN = {
    "an import that fails": (
        sound("bad") | {"method.py": "raise OSError('no licence')"},
        "licence",
    ),
    "a syntax error": (sound("bad") | {"method.py": "def"}, "SyntaxError"),
    "no such class": (sound("bad") | {"method.py": ""}, "Mine"),
    "no target": (sound("bad") | {"method/bad.yaml": "rate: 1\n"}, "method._target_"),
    "an unknown key": (sound("bad") | {"method/bad.yaml": YAML.format("bad") + "x: 1\n"}, "x"),
    "a missing value": (
        sound("bad") | {"method/bad.yaml": YAML.format("bad") + "rate: ???\n"},
        "method.rate=...",
    ),
    "an error in the method": (
        sound("bad") | {"method.py": WORKING + "\n    def adapt(self, x): return 1 / 0\n"},
        "ZeroDivisionError",
    ),
    "bad YAML": (sound("bad") | {"method/bad.yaml": "a: [1\n"}, "bad.yaml"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_inside_is_named_when_it_is_chosen(plugin, ctta, kind):
    files, word = BROKEN[kind]
    plugin("bad", files)
    status, out, err = ctta("run", "method=bad", *QUICK)
    assert status != 0
    last = err.strip().splitlines()[-1]
    assert word in last
    assert "plug-in 'bad'" in last
    assert "Traceback" not in out


def test_a_broken_one_beside_a_good_one_in_a_sweep_harms_only_itself(plugin, ctta, tmp_path):
    plugin("bad", BROKEN["an import that fails"][0])
    plugin("good", sound("good"))
    status, _, err = ctta("run", "-m", "method=bad,good,source", *QUICK)
    assert status == 1
    assert "1 of 3 runs failed" in err
    finished = [json.loads(p.read_text()) for p in (tmp_path / "runs").glob("*/result.json")]
    assert {r["method"]["name"] for r in finished if r["status"] == "finished"} == {
        "good",
        "source",
    }


def test_data_set_stream_model_and_method_may_all_come_from_plugins(install, ctta, tmp_path):
    for example in ("shapes", "t3a"):
        install(EXAMPLES / example)
    status, _, err = ctta(
        "run",
        "dataset=shapes",
        "stream=there_and_back",
        "model=shapes_net",
        "method=t3a",
        "method.max_supports=5",
        "dataset.n_images=30",
        "dataset.corruptions=[contrast,pixelate]",
    )
    assert status == 0, err
    (path,) = (tmp_path / "runs").glob("*/result.json")
    record = json.loads(path.read_text())
    assert record["status"] == "finished"
    assert record["stream"]["name"] == "shapes/there_and_back"
    assert record["data"]["identity"]["id"] == "shapes"
    assert record["model"]["name"] == "shapes_net"
    assert record["method"]["target"] == "ctta_t3a.method.T3A"
    status, out, _ = ctta("rerun", str(path))
    assert (status, "same bits" in out) == (0, True)


@pytest.mark.parametrize("group", ["dataset", "stream", "model"])
def test_a_plugins_choice_of_each_group_goes_with_the_built_in_others(install, ctta, group):
    install(EXAMPLES / "shapes")
    chosen = {
        "dataset": ["dataset=shapes"],
        "stream": ["stream=there_and_back"],
        "model": ["model=shapes_net"],
    }[group]
    status, out, err = ctta("run", "--dry-run", "dataset.n_images=16", *chosen)
    assert status == 0, err
    assert "stream_sha256" in out
