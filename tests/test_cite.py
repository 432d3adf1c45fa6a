"""`ctta cite` has an entry for everything that can be chosen, and prints those of a result."""

import json
import re
from pathlib import Path

import pytest

from ctta.assets import asset_dir
from ctta.commands.cite import entries_of

CONFIGS = asset_dir("configs")
ENTRIES = entries_of(CONFIGS / "citations.bib")
CHOICES = {
    f"{group}/{path.stem}"
    for group in ("method", "dataset", "model")
    for path in (CONFIGS / group).glob("*.yaml")
}
RECORD: list[str] = []  # of one run, from which the others are made


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{(\w+),$", text, re.MULTILINE)


def test_everything_that_can_be_chosen_has_an_entry():
    covered = set().union(*(choices for _, choices in ENTRIES))
    assert not CHOICES - covered


@pytest.mark.parametrize("text", [text for text, _ in ENTRIES], ids=lambda text: keys(text)[0])
def test_entries_are_whole(text):
    assert text.count("{") == text.count("}")
    for field in ("title", "author", "year"):
        assert re.search(rf"^  {field} = {{.+}},$", text, re.MULTILINE), field
    assert "keywords" not in text
    number = re.search(r"eprint = {(.*)}", text)
    assert number is None or re.fullmatch(r"\d{4}\.\d{5}", number[1])


def test_keys_are_different():
    found = [keys(text)[0] for text, _ in ENTRIES]
    assert len(set(found)) == len(found)


def test_the_papers_numbers_are_those_of_the_configurations():
    """Where a method's YAML names an arXiv number, its entry has it."""
    compared = 0
    for path in (CONFIGS / "method").glob("*.yaml"):
        number = re.search(r"arXiv (\d{4}\.\d{5})", path.read_text())
        own = [text for text, choices in ENTRIES if f"method/{path.stem}" in choices]
        if number and number[1] in "".join(own):
            compared += 1
        else:
            assert not number, path.stem
    assert compared > 10


@pytest.fixture
def result(ctta, tmp_path):
    """Write a record with some choices changed."""
    if not RECORD:
        ctta("run", "method=source", "dataset.n_images=16", "dataset.corruptions=[contrast]")
        (path,) = (tmp_path / "runs").glob("*/result.json")
        RECORD.append(path.read_text())

    def result(name: str, **config) -> str:
        values = json.loads(RECORD[0])
        for key, value in config.items():
            values["config"][key] |= value
        path = tmp_path / name / "result.json"
        path.parent.mkdir()
        path.write_text(json.dumps(values))
        return str(path)

    return result


def test_what_the_results_used_comes_once(ctta, result):
    a = result("a", names={"method": "tent", "dataset": "digits_c", "model": "digits_cnn"})
    b = result("b", names={"method": "eata", "dataset": "digits_c", "model": "digits_cnn"})
    status, out, _ = ctta("cite", a, str(Path(b).parent))
    assert status == 0
    assert keys(out) == [
        "ctta",
        "wang2021tent",
        "niu2022efficient",
        "hendrycks2019benchmarking",
        "alpaydin1998optical",
        "pedregosa2011scikit",
    ]
    assert "%" not in out


def test_a_method_inside_another_and_the_base_of_a_corrupted_set_are_cited(ctta, result):
    inner = {"_target_": "ctta.methods.cotta.CoTTA"}
    path = result(
        "a",
        names={"method": "frozen", "dataset": "corrupted", "model": "timm"},
        method={"method": inner},
        dataset={"base": "cifar10"},
    )
    found = keys(ctta("cite", path)[1])
    assert {"wang2022continual", "krizhevsky2009learning", "wightman2019timm"} <= set(found)
    assert "wang2021tent" not in found


def test_a_plugin_brings_its_own_and_what_has_none_is_said(ctta, result, install):
    path = result("a", names={"method": "t3a", "dataset": "shapes", "model": "digits_cnn"})
    install(Path(__file__).parent / "plugins" / "t3a")
    _, out, _ = ctta("cite", path)
    assert "iwasawa2021test" in keys(out)
    assert "% dataset/shapes: no entry" in out


def test_a_file_that_is_no_result_is_named(ctta):
    status, _, err = ctta("cite", "absent.json")
    assert status != 0
    assert "absent.json" in err
