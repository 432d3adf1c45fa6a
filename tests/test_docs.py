"""The documentation site: its made pages are whole, and what it would load is found."""

import importlib.util
import posixpath
import re
from pathlib import Path

import pytest
import yaml

from ctta.build import locate

ROOT = Path(__file__).parents[1]


def module_of(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


site_pages = module_of(ROOT / "docs" / "site_pages.py")
loads_nothing = module_of(ROOT / ".ci" / "loads_nothing.py")
METHODS = site_pages.methods()


@pytest.fixture(scope="module")
def pages():
    return site_pages.pages()


def test_every_method_and_every_module_has_its_place(pages):
    assert {f"methods/{name}.md" for name in METHODS} < pages.keys()
    said = "\n".join(pages.values())
    for part in ("data", "models", "online", "parts", "results", "leaderboard", "streams"):
        for path in (ROOT / "ctta" / part).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            assert f"::: {module.removesuffix('.__init__')}\n" in said


@pytest.mark.parametrize("name", METHODS)
def test_a_methods_page_says_what_its_class_says(pages, name):
    text = pages[f"methods/{name}.md"]
    node = yaml.safe_load((ROOT / "configs/method" / f"{name}.yaml").read_text())
    method = locate(node, "method")
    assert f"| version | {method.version} |" in text
    used = "used" if method.uses_source_data is True else "not used"
    assert f"| source data | {used} |" in text
    assert f"| stays at a reset | {', '.join(method.survives_reset) or 'nothing'} |" in text
    assert f"::: {node['_target_']}\n" in text and "```bibtex\n@" in text
    assert f"| proven by | {site_pages.rows_of_readme()[name][2]} |" in text
    for path in (ROOT / "configs/tuned").glob(f"*/{name}.yaml"):
        assert f"### On {path.parent.name}\n" in text


def test_traps_are_of_methods_and_name_their_keys():
    text = (ROOT / "docs" / "traps.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[0] == "Every method" and set(headings[1:]) <= set(METHODS)
    for part in text.split("\n## ")[2:]:
        name, _, body = part.partition("\n")
        known = (ROOT / "configs/method" / f"{name}.yaml").read_text()
        for key in re.findall(r"`([a-z_]+)(?:=[a-z]+)?`", body):
            assert key in known or key in ("elif", "reset", "data_sha256", "full"), (name, key)


def test_links_between_pages_lead_to_pages(pages):
    written = {p.name: p.read_text(encoding="utf-8") for p in (ROOT / "docs").glob("*.md")}
    turned = {name: site_pages.turned(text, f"docs/{name}") for name, text in written.items()}
    files = {p.name for p in (ROOT / "docs").iterdir()}
    for place, text in {**pages, **turned}.items():
        for _, target in site_pages.LINK.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            path = target.partition("#")[0]
            if path and not re.match(r"[a-z]+:", target):
                found = posixpath.normpath(posixpath.join(posixpath.dirname(place), path))
                assert found in pages or found in files, (place, target)


def test_links_of_the_repository_become_links_of_the_site():
    turned = site_pages.turned("[a](docs/data.md#x) [b](LICENSE) ![c](docs/d.png)", "README.md")
    assert turned == "[a](data.md#x) b ![c](d.png)"
    assert site_pages.turned("[a](../docs/data.md)", "leaderboard/README.md") == "[a](data.md)"
    assert site_pages.turned("[a](https://b.org/c)", "README.md") == "[a](https://b.org/c)"


def test_navigation_names_pages_that_are_there(pages):
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    names = re.findall(r"[a-z_]+\.md", str(config["nav"]))
    assert all(name in pages or (ROOT / "docs" / name).is_file() for name in names)
    assert config["strict"] and config["theme"]["highlightjs"] is False


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<img src="//cdn.org/a.png">', "//cdn.org/a.png"),
        ("a.html", "<script src=https://cdn.org/a.js></script>", "https://cdn.org/a.js"),
        ("a.html", '<link rel="stylesheet" href="https://fonts.org/a.css">', "https://fonts.org"),
        ("a.html", '<img srcset="a.png 1x, HTTPS://cdn.org/b.png 2x">', "HTTPS://cdn.org/b.png"),
        ("a.html", "<style>@import 'https://fonts.org/a.css';</style>", "https://fonts.org/a.css"),
        ("a.html", "<p style=\"background: url('//b.org/c')\">", "//b.org/c"),
        ("a.html", "<script>fetch('https://b.org/c')</script>", "https://b.org/c"),
        ("a.css", "@font-face { src: url(https://fonts.org/a.woff) }", "https://fonts.org/a.woff"),
        ("a.js", 'importScripts("https://cdn.org/a.js")', "https://cdn.org/a.js"),
        ("a.html", '<a href="https://b.org">b</a><img src="a.png">', None),
        ("a.html", '<link rel="canonical" href="https://b.org/">', None),
        ("a.css", "a { background: url(img/a.png) }", None),
    ],
)
def test_what_a_page_would_load_from_elsewhere_is_found(tmp_path, name, text, found):
    (tmp_path / name).write_text(text)
    lines = list(loads_nothing.outside(tmp_path))
    assert (found in lines[0]) if found else not lines
