"""What is ranked together, what is told apart, and that every format shows strings as text."""

import csv
import io
import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import pytest

from ctta.leaderboard.board import board
from ctta.leaderboard.formats import flat, html, latex, markdown
from ctta.leaderboard.sheets import Cell, Part, Sheet, sheets, signed, title

HOSTILE = "<img src=x onerror=alert(1)>|`${x}`\\input{y} & *b* _c_ [d](https://e.org) %~^#\"'@f"


def rows(found):
    return {
        group.name: [(line.name, line.rank) for line in group.lines]
        for section in found.sections
        for group in section.groups
    }


def test_source_free_and_source_using_are_ranked_apart(many):
    found = board(many.shelf, "digits_c")
    assert not found.problems
    assert rows(found) == {
        "source-free, equally tuned": [("tent", 1), ("norm", 1), ("source", 3)],
        "source-using, equally tuned": [("eata", 1)],
    }
    assert found.sections[0].missing_controls == ["frozen"]


def test_values_of_ones_own_are_told_apart(many):
    for number in range(3):
        many.change("tuning.kind", "own", path=many.path("tent", number))
        many.change("tuning.statement", "by hand", path=many.path("tent", number))
    found = board(many.shelf)
    assert rows(found)["source-free, tuned in its own way"] == [("tent", 1)]
    assert "tent: by hand" in sheets(found.sections[0])[0].notes


def test_rows_over_other_orders_are_not_ranked_together(many):
    many.path("tent", 0).unlink()
    found = board(many.shelf)
    assert [len(section.streams) for section in found.sections] == [3, 2]
    assert [[line.name for line in s.lines] for s in found.sections] == [
        ["norm", "source", "eata"],
        ["tent"],
    ]
    assert "Negative controls that are missing: source, norm, frozen" in (
        sheets(found.sections[1])[0].notes
    )


def test_published_numbers_stand_beside_with_the_difference(many):
    (section,) = board(many.shelf).sections
    by_name = {line.name: line for line in section.lines}
    assert by_name["tent"].published.value == 10.34
    mean = by_name["tent"].row.mean()
    assert by_name["tent"].difference == pytest.approx(mean - 10.34)
    assert {row.method for row in section.published} == {"source", "norm", "tent", "cotta", "eata"}
    assert all(row.n_images == 797 for row in section.published)  # and not first_100's
    sheet = sheets(section)[0]
    assert sheet.parts[-1].heading == "published numbers"
    assert all(cell.italic for row in sheet.parts[-1].rows for cell in row if cell.text)
    assert signed(-0.001) == "+0.00" and signed(-0.01) == "-0.01" and signed(None) == ""


def test_best_and_what_is_not_told_apart_from_it_is_bold(many):
    (section,) = board(many.shelf).sections
    sheet = sheets(section)[0]
    mean = sheet.head.index("mean")
    assert [row[mean].bold for row in sheet.parts[0].rows] == [True, True, False]
    assert re.fullmatch(r"1\d\.\d\d ± \d\.\d\d", sheet.parts[0].rows[0][mean].text)
    assert "Mean ± half of Student's 95 % interval, over 3 orders" in sheet.notes


def test_broken_entries_are_listed_and_the_others_shown(many):
    many.path("tent", 0).write_text("{")
    many.change("result.metrics.nll", 0.0, path=many.path("eata", 1))
    found = board(many.shelf)
    assert found.broken and len(found.problems) == 2
    assert [len(line.row.results) for s in found.sections for line in s.lines] == [3, 3, 2, 2]


def test_what_is_not_verifiable_is_marked(many):
    path = many.path("tent", 0)
    many.change("trace", None, path=path)
    path.with_suffix(".npz").unlink()
    for path in many.root.glob("digits_c/source/*.json"):
        many.change("trace.link", "https://example.org/a.npz", path=path)
        path.with_suffix(".npz").unlink()
    (section,) = board(many.shelf).sections
    names = ["tent (not verifiable)", "norm (control)", "source (control, not verified here)"]
    errors, beside = sheets(section)
    for sheet in (errors, beside):
        assert [row[0].text for row in sheet.parts[0].rows] == names
        for form in (markdown, latex, html):
            assert all(name in form.render([sheet]) for name in names)
    assert [note.partition(":")[0] for note in errors.notes if "erifi" in note] == [
        "Not verifiable",
        "Not verified here",
    ]
    for records in (
        json.loads(flat.to_json([section])),
        csv.DictReader(io.StringIO(flat.to_csv([section]))),
    ):
        found = {own["method"]: own["verification"] for own in records if own["kind"] == "measured"}
        assert found == {
            "tent": "not verifiable",
            "norm": "verified",
            "source": "not verified here",
            "eata": "verified",
        }


def test_csv_and_json_read_back_to_the_same_numbers(many):
    sections = board(many.shelf).sections
    records = flat.records(sections)
    assert json.loads(flat.to_json(sections)) == records
    read = list(csv.DictReader(io.StringIO(flat.to_csv(sections))))
    assert len(read) == len(records) == 9
    for line, record in zip(read, records, strict=True):
        for name, value in record.items():
            if isinstance(value, float):
                assert float(line[name]) == value
            else:
                assert line[name] == ("" if value is None else str(value))


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "'x"])
def test_a_spreadsheet_calculates_nothing(text):
    assert flat.spelt(text) == f"'{text}"


def sheet_of(text: str) -> Sheet:
    cell = Cell(text, bold=True, italic=True)
    return Sheet(text, [text, text], [Part(text, [[cell, cell]])], [text])


class Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_html_shows_text_as_text():
    parser = Texts()
    parser.feed(html.render([sheet_of(HOSTILE)]))
    assert "img" not in parser.tags
    assert [text for text in parser.texts if text.strip()] == [HOSTILE] * 7


def test_latex_shows_text_as_text():
    text = latex.render([sheet_of(HOSTILE)])
    assert "\\input" not in text
    unescaped = re.sub(r"\\[{}$&#_%]", "", text.partition("\n")[2])
    assert unescaped.count("{") == unescaped.count("}")
    assert unescaped.count("&") == 2  # between the cells of the two rows
    assert not re.search(r"(?<!\\)[%#^~_]", text.partition("\n")[2])


@pytest.fixture
def compiled(tmp_path, missing):
    """Sets LaTeX in an article; returns what the compiler says."""
    compiler = shutil.which("pdflatex")
    if compiler is None:
        missing("latex", "no pdflatex: install texlive-latex-base and texlive-latex-recommended")

    def run(text: str) -> str:
        (tmp_path / "table.tex").write_text(text, encoding="utf-8")
        (tmp_path / "article.tex").write_text(
            r"\documentclass{article}\usepackage{booktabs,graphicx}"
            r"\begin{document}\input{table}\end{document}"
        )
        words = [compiler, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape"]
        done = subprocess.run(
            [*words, "article.tex"], cwd=tmp_path, capture_output=True, text=True, errors="replace"
        )
        assert done.returncode == 0, done.stdout[-2000:]
        assert (tmp_path / "article.pdf").stat().st_size > 1000
        return done.stdout

    return run


@pytest.mark.slow
def test_latex_compiles(many, compiled):
    (section,) = board(many.shelf).sections
    said = compiled(latex.render(sheets(section)))
    assert "Overfull" not in said and "Output written on article.pdf" in said


@pytest.mark.slow
@pytest.mark.parametrize("text", [HOSTILE, "Müller, Żółć, 王, €, \u200b, 😀 and É", "[a] *b -- ?`"])
def test_latex_compiles_whatever_the_text(text, compiled):
    assert latex.escape("王") == "(U+738B)" and latex.escape("Ü") == "Ü"
    compiled(latex.render([sheet_of(text)]))


def test_markdown_shows_text_as_text():
    text = markdown.escape(HOSTILE)
    assert not re.search(r"[<>@]|(?<![\\&])[|`*_\[\]{}$#~]|://", text)
    assert unescape(re.sub(r"\\(_|[^\w\s])", r"\1", text)) == HOSTILE
    assert len(re.findall(r"(?<!\\)\|", markdown.cell(Cell(HOSTILE, bold=True)))) == 0


def test_markdown_goes_between_its_markers():
    document = "a\n<!-- leaderboard x -->\nold\n<!-- end of leaderboard x -->\nb\n"
    new = markdown.put_between(document, "x", "table\n")
    assert new == document.replace("old", "table")
    for broken in ("", document * 2, document.replace("<!-- end", "<!- end")):
        with pytest.raises(ValueError, match="once each"):
            markdown.put_between(broken, "x", "")


def test_markers_name_what_goes_between_them(many):
    sections = board(many.shelf).sections
    document = "a\n<!-- leaderboard {0} -->\n<!-- end of leaderboard {0} -->\nb\n"
    whole = markdown.with_tables(document.format("digits_c"), sections)
    assert whole.startswith("a\n<!-- leaderboard digits_c -->\n**digits\\_c, continual, ")
    assert markdown.with_tables(whole, sections) == whole
    one = markdown.with_tables(document.format("digits_c/continual"), sections)
    assert one.splitlines()[2:-2] == whole.splitlines()[2:-2]
    with pytest.raises(ValueError, match="digits_c/mixed -->: expected one of digits_c/continual"):
        markdown.with_tables(document.format("digits_c/mixed"), sections)
    with pytest.raises(ValueError, match="found no such marker"):
        markdown.with_tables("a\n", sections)


def test_a_title_says_what_the_runs_set(many):
    for path in many.root.glob("digits_c/[a-z]*/*.json"):
        values = json.loads(path.read_text())
        values["rerun"]["overrides"] |= {"stream.rounds": 3, "dataset.n_images": 200}
        path.write_text(json.dumps(values))
    titles = [title(section) for section in board(many.shelf).sections]
    assert titles == ["digits_c, continual, digits_cnn_shipped, n_images=200, rounds=3"]
