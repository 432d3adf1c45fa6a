"""`ctta leaderboard`: entries made from runs, checked, and shown as tables and a page."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ctta.leaderboard.board import Board
    from ctta.leaderboard.check import Installed
    from ctta.leaderboard.entry import Entry
    from ctta.leaderboard.shelf import Filed, Problem, Shelf

ENTRIES, SITE = Path("leaderboard/entries"), Path("leaderboard/site")
FORMATS = ("md", "latex", "csv", "html", "json")
PLOTS = {
    "corruptions": "error on each corruption, as bars",
    "stream": "error along the stream, segments marked",
    "rounds": "error of each round of a recurring stream",
    "pareto": "error against cost",
    "ranks": "critical-difference diagram over the corruptions",
}


def main(arguments: Sequence[str]) -> int:
    """Exit status 0; 1 where an entry has a problem, or is left out of a table.

    Raises:
        ValueError: no such folder, benchmark or run, or a run that cannot become an entry.
    """
    parser = argparse.ArgumentParser(prog="ctta leaderboard", description="Results to publish.")
    commands = parser.add_subparsers(required=True, metavar="add|check|table|plot|build|publish")

    def command(name: str, action: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument(
            "--entries", type=Path, default=ENTRIES, metavar="DIR", help=f"default: {ENTRIES}"
        )
        made.set_defaults(action=action)
        return made

    made = command("add", add_runs, "Make entries from runs.")
    made.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder")
    made.add_argument("--author", action="append", required=True, help="again for each")
    made.add_argument("--paper", metavar="URL", help="of the method")
    made.add_argument("--code", metavar="URL", help="of the method")
    made.add_argument("--tuning", required=True, metavar="TEXT", help="how values were chosen")
    made.add_argument(
        "--tuning-kind",
        choices=("installed", "grid", "own"),
        help="default: what overrides and record say",
    )
    made.add_argument("--hardware", metavar="TEXT", help="default: what the record says")
    made.add_argument("--link", metavar="URL", help="where the traces will lie; default: beside")
    made.add_argument(
        "--new-hashes", action="store_true", help="streams and weights that are not known yet"
    )
    made = command("check", check, "Check entries; one line a problem.")
    made.add_argument("path", nargs="?", type=Path, help="an entry or a folder; default: all")
    made.add_argument(
        "--download", action="store_true", help="fetch linked traces, by https, into CTTA_CACHE"
    )
    made.add_argument("--rerun", action="store_true", help="run each again, and compare")
    made.add_argument(
        "--allow-plugin", action="append", default=[], metavar="NAME", help="for --rerun"
    )
    made = command("table", table, "What the entries say, with published numbers beside.")
    made.add_argument("--benchmark", required=True, help="as digits_c")
    made.add_argument("--setting", help="as continual; default: all")
    made.add_argument("--format", choices=FORMATS, default="md", help="default: md")
    made.add_argument(
        "--into", type=Path, metavar="FILE", help="Markdown between the markers of a README"
    )
    made = command("plot", plot, "A picture for a paper.")
    made.add_argument(
        "kind", choices=PLOTS, help="; ".join(f"{name}: {text}" for name, text in PLOTS.items())
    )
    made.add_argument("--benchmark", required=True, help="as digits_c")
    made.add_argument(
        "--setting",
        action="append",
        default=[],
        help="as continual; again for each, with ranks; default: continual, with ranks all",
    )
    made.add_argument(
        "--method",
        type=lambda text: text.split(","),
        default=[],
        metavar="A,B",
        help="default: the controls and the best others; of pareto and ranks: all",
    )
    made.add_argument("--to", type=Path, required=True, metavar="FILE", help="a .pdf, .png or .svg")
    made.add_argument(
        "--cost", choices=("time", "flops", "memory", "forwards"), default="time", help="of pareto"
    )
    made.add_argument("--test", choices=("nemenyi", "wilcoxon"), default="nemenyi", help="of ranks")
    made = command("build", build_page, "The page, from all entries.")
    made.add_argument(
        "--site", type=Path, default=SITE, metavar="DIR", help=f"where to; default: {SITE}"
    )
    made.add_argument(
        "--tables",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="renew the tables between the markers of a README; again for each",
    )
    made = command("publish", publish, "The page and what it links to, in a folder or a branch.")
    made.add_argument(
        "--to", required=True, metavar="DIR|branch:NAME", help="as ../pages, or branch:gh-pages"
    )
    made.add_argument("--push", metavar="REMOTE", help="push the branch, as to origin")
    made.add_argument("--docs", type=Path, metavar="DIR", help="a built documentation site")
    options = parser.parse_args(arguments)
    status: int = options.action(options)
    return status


def write(lines: Iterable[object]) -> None:
    """To standard output."""
    sys.stdout.writelines(f"{line}\n" for line in lines)


def add_runs(options: argparse.Namespace) -> int:
    """`ctta leaderboard add`."""
    from ctta.composer import Composer
    from ctta.leaderboard.add import Statement, add
    from ctta.leaderboard.shelf import Shelf

    statement = Statement(
        authors=options.author,
        paper=options.paper,
        code=options.code,
        tuning=options.tuning,
        kind=options.tuning_kind,
        hardware=options.hardware,
        link=options.link,
    )
    shelf, compose = Shelf(options.entries), Composer()
    for run in options.runs:
        folder = run.parent if run.name == "result.json" else run
        path = add(shelf, folder, statement, compose, new_hashes=options.new_hashes)
        write([path])
    return 0


def check(options: argparse.Namespace) -> int:
    """`ctta leaderboard check`."""
    from ctta.leaderboard.check import Check
    from ctta.leaderboard.shelf import NOT_HERE, NOT_VERIFIABLE, Shelf

    shelf = Shelf(options.entries)
    files = set(map(shelf.where, shelf.files(options.path)))
    entries, problems = shelf.read(options.path)
    allowed = frozenset(options.allow_plugin)

    def again(entry: Entry, installed: Installed) -> Iterator[tuple[str, str]]:
        yield from run_again(entry, installed, allowed)

    others = shelf.read()[0] if options.path else ()
    if options.download:
        problems += downloaded(entries)
    problems += Check(shelf, Installations(), again if options.rerun else None).check(
        entries, others
    )
    write(problems)
    broken = [problem for problem in problems if not problem.question]
    told = {problem.where for problem in broken}
    missing = Counter(filed.unverified for filed in entries if filed.where not in told)
    line = (
        f"{len(files)} entries, {len(broken)} problems, {len(problems) - len(broken)} questions, "
        f"{missing[NOT_VERIFIABLE]} {NOT_VERIFIABLE}"
    )
    elsewhere = missing[NOT_HERE]
    line += f", {elsewhere} {NOT_HERE} (--download)" if elsewhere else ""
    hint = "; make broken entries anew with 'ctta leaderboard add'" if told & files else ""
    write([line + hint])
    return 1 if broken else 0


def downloaded(entries: Iterable[Filed]) -> Iterator[Problem]:
    """Fetch the traces that are linked and not here; what could not be fetched."""
    from ctta.leaderboard.fetched import fetch_trace
    from ctta.leaderboard.shelf import Problem

    for filed in entries:
        trace = filed.entry.trace
        if trace is not None and trace.link is not None and filed.unverified:
            try:
                fetch_trace(trace)
            except ValueError as error:
                yield Problem(filed.where, "trace.link", str(error))


class Installations:
    """What the installed configurations make of entries; a plug-in's code is not imported."""

    def __init__(self) -> None:
        from ctta.composer import Composer

        self.compose = Composer()

    def __call__(self, entry: Entry) -> Installed:
        """Of one entry.

        Raises:
            AbsentError: one of its choices is not installed.
            ValueError: they do not compose.
        """
        from ctta.build import locate
        from ctta.leaderboard.check import AbsentError, Installed

        groups = entry.rerun.groups
        absent = self.compose.not_installed(groups)
        if absent:
            raise AbsentError(
                f"{absent[0]} is not installed here, so that the configuration was not compared"
            )
        config = self.compose(groups, entry.rerun.overrides)
        owners = self.compose.plugins(groups)
        if f"method={entry.rerun.method}" in owners:
            return Installed(config, owners)
        method: Any = locate(config["method"], "method")
        return Installed(
            config,
            owners,
            version=method.version,
            uses_source_data=method.uses_source_data is True,
        )


def run_again(
    entry: Entry, installed: Installed, allowed: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """What a re-run shows to be different, or why there was none."""
    from ctta.results.rerun import run_again

    refused = {choice: p for choice, p in installed.plugins.items() if p not in allowed}
    for choice, plugin in refused.items():
        group = choice.partition("=")[0]
        yield f"rerun.{group}", f"{choice} would run code of a plug-in; --allow-plugin {plugin}"
    if refused:
        return
    try:
        verdict = run_again(entry.result, installed.config)
    except ValueError as error:
        yield "rerun", " ".join(str(error).split())
        return
    if not verdict.same:
        yield "rerun", "; ".join(line.strip() for line in str(verdict).splitlines())


def arranged(shelf: Shelf, benchmark: str | None = None) -> Board:
    """The entries of ``benchmark`` (None: of all) as they are shown, without those that `check`
    refuses; problems go to standard error.

    Raises:
        ValueError: no such folder or benchmark, or no entry of it can be shown.
    """
    from ctta.leaderboard.board import board

    found = board(shelf, benchmark, Installations())
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    if benchmark is not None and not found.sections:
        raise ValueError(
            f"--benchmark: no entry of {benchmark} can be shown; 'ctta leaderboard check "
            f"--entries {shelf.root}' says why"
        )
    return found


def table(options: argparse.Namespace) -> int:
    """`ctta leaderboard table`."""
    from ctta.leaderboard.formats import flat, html, latex, markdown
    from ctta.leaderboard.sheets import sheets
    from ctta.leaderboard.shelf import Shelf
    from ctta.results.result import write_text

    if options.into is not None and options.format != "md":
        raise ValueError(f"--into: expected --format md, got {options.format}")
    found = arranged(Shelf(options.entries), options.benchmark)
    sections = [s for s in found.sections if options.setting in (None, s.setting)]
    if not sections:
        known = ", ".join(dict.fromkeys(s.setting for s in found.sections))
        raise ValueError(f"--setting: expected one of {known}, got {options.setting!r}")
    if options.format in ("csv", "json"):
        text = flat.to_csv(sections) if options.format == "csv" else flat.to_json(sections)
    else:
        render = {"md": markdown.render, "latex": latex.render, "html": html.render}
        text = render[options.format]([sheet for s in sections for sheet in sheets(s)])
    if options.into is None:
        sys.stdout.write(text)
    else:
        document = options.into.read_text(encoding="utf-8")
        name = "/".join(filter(None, (options.benchmark, options.setting)))
        write_text(options.into, markdown.put_between(document, name, text))
    return 1 if found.broken else 0


def plot(options: argparse.Namespace) -> int:
    """`ctta leaderboard plot`."""
    from ctta.leaderboard.plots import corruptions, pareto, ranks, rounds, stream
    from ctta.leaderboard.plots.choice import READABLE, chosen_lines, chosen_sections, traces
    from ctta.leaderboard.plots.style import MOST, form_of, save
    from ctta.leaderboard.shelf import Shelf

    form_of(options.to)  # before anything takes time
    shelf, kind = Shelf(options.entries), options.kind
    found = arranged(shelf, options.benchmark)
    sections = chosen_sections(found.sections, options.setting, all_of_them=kind == "ranks")
    if kind != "ranks" and len(sections) > 1:
        raise ValueError(f"--setting: expected one for {kind}, got {', '.join(options.setting)}")
    most = MOST if kind in ("pareto", "ranks") else READABLE
    lines = [chosen_lines(section, options.method, most) for section in sections]

    def draw() -> Figure:
        if kind == "corruptions":
            return corruptions.draw(sections[0], lines[0])
        if kind == "pareto":
            return pareto.draw(sections[0], lines[0], options.cost)
        if kind == "ranks":
            return ranks.draw(sections, lines, options.test)
        along = stream.draw if kind == "stream" else rounds.draw
        return along(sections[0], lines[0], traces(shelf, lines[0]))

    write([save(options.to, draw)])
    return 1 if found.broken else 0


def build_page(options: argparse.Namespace) -> int:
    """`ctta leaderboard build`."""
    from ctta.leaderboard.formats.markdown import with_tables
    from ctta.leaderboard.shelf import Shelf
    from ctta.leaderboard.site import build
    from ctta.results.result import write_text

    shelf = Shelf(options.entries)
    found = arranged(shelf)
    for path in options.tables:
        write_text(path, with_tables(path.read_text(encoding="utf-8"), found.sections))
        write([path])
    write([build(found, shelf, options.site)])
    return 1 if found.broken else 0


def publish(options: argparse.Namespace) -> int:
    """`ctta leaderboard publish`."""
    from ctta.leaderboard.publish import to_branch, to_folder
    from ctta.leaderboard.shelf import Shelf

    form, _, branch = options.to.partition("branch:")
    on_branch = not form and bool(branch)
    if options.push and not on_branch:
        raise ValueError(f"--push: expected --to branch:NAME with it, got --to {options.to}")
    shelf = Shelf(options.entries)
    found = arranged(shelf)
    if on_branch:
        commit = to_branch(found, shelf, options.docs, branch, options.push)
        write([f"{branch}: {commit or 'nothing has changed'}"])
    else:
        write([to_folder(found, shelf, options.docs, Path(options.to))])
    return 0
