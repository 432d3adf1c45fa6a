"""Pages of the documentation site that are made from what is said elsewhere in the repository.

A hook of MkDocs: README, CONTRIBUTING and the like become pages with their links turned; every
method gets one from its docstring, configuration and citation; every module one from its
docstrings.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ctta.commands.cite import entries_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / "configs"
TAKEN = {  # file of the repository -> page
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "leaderboard/README.md": "leaderboard.md",
}
PARTS = {  # page of the reference -> its modules
    "data": ["ctta/data"],
    "streams": ["ctta/streams"],
    "models": ["ctta/models"],
    "methods": ["ctta/methods/base.py", "ctta/parts", "ctta/kernels"],
    "online": ["ctta/online", "ctta/build.py"],
    "results": ["ctta/results"],
    "leaderboard": ["ctta/leaderboard"],
    "testing": ["ctta/testing"],
}
LINK = re.compile(r"(!?\[[^\]]*\])\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Fill the parts of the navigation that are made."""
    for part in config.nav or []:
        if "Methods" in part:
            part["Methods"] = ["methods/index.md", *(f"methods/{name}.md" for name in methods())]
        if "Reference" in part:
            part["Reference"] = [{name: f"reference/{name}.md"} for name in PARTS]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    from mkdocs.structure.files import File

    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Turn links of the pages in ``docs`` that lead out of it."""
    place = page.file.src_uri
    return turned(markdown, f"docs/{place}") if (ROOT / "docs" / place).is_file() else markdown


def pages() -> dict[str, str]:
    """Place on the site -> Markdown."""
    found = {}
    for source, page in TAKEN.items():
        found[page] = turned((ROOT / source).read_text(encoding="utf-8"), source)
    found["methods/index.md"] = overview()
    found |= {f"methods/{name}.md": method_page(name) for name in methods()}
    found |= {f"reference/{name}.md": reference(name) for name in PARTS}
    return found


def turned(text: str, source: str) -> str:
    """Markdown of a file of the repository with links between pages in place of files.

    What has no page keeps its text and loses its link.
    """

    def turn(match: re.Match[str]) -> str:
        words, target = match.groups()
        path, mark, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target) or not path:
            return match[0]
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        page = TAKEN.get(file, file.removeprefix("docs/") if file.startswith("docs/") else None)
        if page is None:
            return words.removeprefix("[").removesuffix("]")
        return f"{words}({page}{mark}{anchor})"

    return LINK.sub(turn, text)


def methods() -> list[str]:
    """All built-in methods."""
    return sorted(path.stem for path in (CONFIGS / "method").glob("*.yaml"))


def about(name: str) -> str:
    """What the comment above a method's configuration says."""
    lines = (CONFIGS / "method" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return lines[0].removeprefix("# ")


def target(name: str) -> str:
    """The class of a method."""
    node = yaml.safe_load((CONFIGS / "method" / f"{name}.yaml").read_text(encoding="utf-8"))
    return str(node["_target_"])


def traits(name: str) -> dict[str, Any]:
    """Class attributes of a method with plain values, its own before its bases'."""
    module, _, class_name = target(name).rpartition(".")
    found: dict[str, Any] = {}
    while module.startswith("ctta."):
        tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        made = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == class_name)
        for node in made.body:
            simple = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", 0)
            value = getattr(node, "value", None)
            if isinstance(simple, ast.Name) and isinstance(value, ast.Constant | ast.Tuple):
                found.setdefault(simple.id, ast.literal_eval(value))
        class_name = ast.unparse(made.bases[0]) if made.bases else ""
        module = next(
            (
                str(node.module)
                for node in tree.body
                if isinstance(node, ast.ImportFrom) and class_name in [a.name for a in node.names]
            ),
            "",
        )
    return found


def rows_of_readme() -> dict[str, list[str]]:
    """Method -> cells of README's table of methods: paper, official code, proven, differences."""
    found = {}
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Methods")[2]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+)`", cells[0]) if line.startswith("| `") else ():
            found[name] = cells[1:]
    return found


def overview() -> str:
    """The table of all methods."""
    lines = ["# Methods", "", "| method | paper and code | source data |", "|---|---|---|"]
    for name in methods():
        used = "used" if traits(name).get("uses_source_data") else ""
        lines.append(f"| [{name}]({name}.md) | {about(name)} | {used} |")
    return "\n".join([*lines, ""])


def method_page(name: str) -> str:
    """One method: what it is, how sure we are of it, its arguments, values and citation."""
    known, row = traits(name), rows_of_readme().get(name, ["", "", "", ""])
    lines = [f"# {name}", "", about(name), ""]
    lines += [
        "|   |   |",
        "|---|---|",
        f"| version | {known['version']} |",
        f"| source data | {'used' if known.get('uses_source_data') else 'not used'} |",
        f"| stays at a reset | {', '.join(known.get('survives_reset', ())) or 'nothing'} |",
        f"| official code | {row[1] or 'none'} |",
        f"| proven by | {row[2]} |",
        f"| known differences | {row[3] or 'none'} |",
        "",
    ]
    if f"\n## {name}\n" in (ROOT / "docs" / "traps.md").read_text(encoding="utf-8"):
        lines += [f"Before you compare: [known traps of {name}](../traps.md#{name}).", ""]
    lines += ["## Arguments", "", f"::: {target(name)}", "    options:", "      heading_level: 3"]
    lines += ["", "## Values", "", "What the paper keeps fixed; `ctta run` takes every key.", ""]
    lines += block((CONFIGS / "method" / f"{name}.yaml").read_text(encoding="utf-8"), "yaml")
    for path in sorted((CONFIGS / "tuned").glob(f"*/{name}.yaml")):
        lines += [f"### On {path.parent.name}", ""]
        lines += block(path.read_text(encoding="utf-8"), "yaml")
    lines += ["## Cite", ""]
    entries = [t for t, keys in entries_of(CONFIGS / "citations.bib") if f"method/{name}" in keys]
    lines += block("\n\n".join(entries), "bibtex") if entries else ["Nothing to cite.", ""]
    return "\n".join(lines)


def block(text: str, language: str) -> list[str]:
    """Lines of a block of code."""
    return [f"```{language}", text.strip(), "```", ""]


def reference(name: str) -> str:
    """The modules of one part."""
    lines = [f"# {name}", ""]
    for part in PARTS[name]:
        path = ROOT / part
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            module = file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            module = module.removesuffix(".__init__")
            lines += [f"## {module}", "", f"::: {module}", "    options:"]
            lines += ["      show_root_heading: false", "      heading_level: 3", ""]
    return "\n".join(lines)
