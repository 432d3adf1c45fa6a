"""`ctta new-method` writes a package that passes its own tests, and refuses what cannot be."""

import ast
import importlib.util
import tomllib

import pytest

from ctta.commands.new_method import TEMPLATE


def own_tests(path):
    """The test functions of a file."""
    spec = importlib.util.spec_from_file_location(f"own_tests_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for name, value in vars(module).items() if name.startswith("test_")]


def test_the_package_passes_its_own_tests_and_runs(ctta, install, tmp_path):
    status, out, _ = ctta("new-method", "two_words")
    assert status == 0
    assert "ctta check two_words" in out
    project = tmp_path / "ctta-two-words"
    install(project)
    tests = own_tests(project / "tests" / "test_two_words.py")
    assert len(tests) == 4
    for test in tests:
        test()
    status, out, err = ctta("run", "--dry-run", "method=two_words")
    assert status == 0, err
    assert "two_words on" in out


def test_no_trace_of_the_template_is_left(ctta, tmp_path):
    ctta("new-method", "two_words", "--folder", "here")
    files = [path for path in (tmp_path / "here").rglob("*") if path.is_file()]
    assert len(files) == 6
    for path in files:
        text = str(path) + path.read_text()
        for old in ("my_method", "MyMethod", "my-method"):
            assert old not in text
        if path.suffix == ".py":
            ast.parse(path.read_text())
    declared = tomllib.loads((tmp_path / "here" / "pyproject.toml").read_text())["project"]
    assert declared["name"] == "ctta-two-words"
    assert declared["entry-points"] == {"ctta.configs": {"two_words": "ctta_two_words.configs"}}


@pytest.mark.parametrize(
    "name", ["Tent", "2fast", "a-b", "a b", "_a", "a_", "a__b", "class", "../x", ""]
)
def test_names_that_do_not_do_are_refused(ctta, tmp_path, name):
    status, _, err = ctta("new-method", name)
    assert status != 0
    assert "small letters" in err
    assert not list(tmp_path.iterdir())


def test_what_is_there_already_is_refused(ctta, install, tmp_path):
    assert "method=tent is there already, from 'ctta'" in ctta("new-method", "tent")[2]
    ctta("new-method", "mine")
    assert "exists already" in ctta("new-method", "mine")[2]
    assert "exists already" in ctta("new-method", "other", "--folder", "ctta-mine")[2]
    assert "parent folder" in ctta("new-method", "other", "--folder", "no/where")[2]
    install(tmp_path / "ctta-mine")
    assert "from 'mine'" in ctta("new-method", "mine", "--folder", "again")[2]
    yaml = tmp_path / "ctta-mine" / "ctta_mine" / "configs" / "method" / "mine.yaml"
    yaml.rename(yaml.with_stem("renamed"))
    assert "ctta_mine is installed already" in ctta("new-method", "mine", "--folder", "again")[2]
    assert not (tmp_path / "again").exists()


def test_the_template_is_the_package_that_it_says():
    assert sorted(path.name for path in TEMPLATE.iterdir() if path.name != "__pycache__") == [
        "README.md",
        "ctta_my_method",
        "pyproject.toml",
        "tests",
    ]
