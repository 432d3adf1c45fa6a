"""Pictures for papers: what they show, that series differ in grey, and that bytes repeat."""

import numpy as np
import pytest

from ctta.leaderboard.board import board
from ctta.leaderboard.plots import corruptions, pareto, ranks, rounds, stream
from ctta.leaderboard.plots.choice import chosen_lines, chosen_sections, traces
from ctta.leaderboard.plots.style import MOST, save, style
from ctta.online.trace import Trace
from ctta.results.metrics import error_by_domain

HOSTILE = r"$\frac{a$ <script> \input{x} ${y}"


@pytest.fixture
def section(many):
    return board(many.shelf).sections[0]


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def test_no_two_methods_look_alike_in_grey_or_in_colour():
    looks = [style(i) for i in range(MOST)]
    for kind in ("hatch", "marker", "dash"):
        pairs = {(look.colour, str(getattr(look, kind))) for look in looks}
        assert len(pairs) == MOST
    # within what is drawn unless somebody asks for more, the shape alone tells lines apart
    assert len({(look.marker, str(look.dash)) for look in looks}) == MOST
    assert len({look.marker for look in looks[:8]}) == 8
    assert len({look.hatch for look in looks[:7]}) == 7


def test_bars_are_the_mean_errors(section):
    lines = chosen_lines(section, ["tent", "source"])
    figure = corruptions.draw(section, lines)
    (axes,) = figure.axes
    heights = [patch.get_height() for patch in axes.patches]
    assert len(heights) == 2 * (len(section.domains) + 1)
    expected = [line.row.mean(name) for line in lines for name in (*section.domains, "error_pct")]
    assert np.allclose(heights, expected)
    assert len({patch.get_hatch() for patch in axes.patches}) == 2
    assert {"tent, 10.4", "source (control), 29.0", "mean", "gaussian noise"} <= set(texts(figure))


def test_segments_of_the_stream_are_marked_and_named(many, section):
    lines = chosen_lines(section, ["norm"])
    (axes,) = stream.draw(section, lines, traces(many.shelf, lines)).axes
    line = axes.lines[0]
    assert min(line.get_ydata()) >= 0 and max(line.get_ydata()) <= 100
    marks = {float(mark.get_xdata()[0]) for mark in axes.lines[1:]}
    assert marks == {797.0 * i for i in range(1, 15)}
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[:2] == ["gaussian noise", "shot noise"] and len(names) == 15


def of_rounds(trace: Trace, names) -> Trace:
    """The trace with its segments called ``names``."""
    return Trace(trace.samples, trace.batches, tuple(names), trace.n_classes)


def test_rounds_are_means_over_their_visits(many, section, monkeypatch):
    lines = chosen_lines(section, ["norm"])
    with pytest.raises(ValueError, match="expected one with several rounds, got continual"):
        rounds.draw(section, lines, traces(many.shelf, lines))
    whole = traces(many.shelf, lines)["norm"][0]
    errors = np.array(list(error_by_domain(whole).values()))
    trace = of_rounds(whole, [f"c{i % 5}-5" for i in range(15)])
    assert rounds.by_round(trace, 3) == pytest.approx(errors.reshape(3, 5).mean(1))
    monkeypatch.setattr(rounds, "n_rounds", lambda _: 3)
    (axes,) = rounds.draw(section, lines, {"norm": [trace, trace]}).axes
    assert axes.lines[0].get_ydata() == pytest.approx(errors.reshape(3, 5).mean(1))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "2", "3"]


def test_many_segments_are_named_by_their_rounds(many, section):
    from matplotlib.figure import Figure

    lines = chosen_lines(section, ["norm"])
    whole = traces(many.shelf, lines)["norm"][0]
    axes = Figure().subplots()
    stream.mark_segments(axes, of_rounds(whole, [f"c{i % 5}-5" for i in range(15)]), rounds=3)
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["round 1 of 3", "round 2 of 3", "round 3 of 3"]


def test_severities_of_one_corruption_are_one_stretch(many, section):
    from matplotlib.figure import Figure

    lines = chosen_lines(section, ["norm"])
    whole = traces(many.shelf, lines)["norm"][0]
    axes = Figure().subplots()
    names = [f"c{i // 3}-{i % 3 + 1}" for i in range(15)]
    stream.mark_segments(axes, of_rounds(whole, names), rounds=1)
    assert [t.get_text() for t in axes.get_xticklabels()] == [f"c{i}" for i in range(5)]


def test_the_front_holds_what_none_beats_in_both():
    points = [(1.0, 9.0, "a"), (2.0, 9.5, "b"), (2.0, 5.0, "c"), (3.0, 5.0, "d"), (4.0, 1.0, "e")]
    assert [name for _, _, name in pareto.front(points)] == ["a", "c", "e"]
    assert [name for _, _, name in pareto.apart(points[:3])] == ["a", "b", "c"]
    assert pareto.apart([(1.0, 9.0, "a"), (1.05, 8.9, "b"), (1.06, 5.0, "c")])[1][2] == "c"
    assert pareto.ticks(0.3, 6) == [0.5, 1, 2, 5]
    assert pareto.ticks(11, 45) == [20, 30, 40]


@pytest.mark.parametrize("kind", pareto.NAMES)
def test_every_cost_can_be_an_axis(section, kind):
    lines = chosen_lines(section, [])
    (axes,) = pareto.draw(section, lines, kind).axes
    assert axes.get_xlabel() == pareto.NAMES[kind]
    assert axes.get_xscale() == axes.get_yscale() == "log"


@pytest.mark.parametrize("test", ranks.TESTS)
def test_ranks_are_over_corruptions(section, test):
    figure = ranks.draw([section], [section.lines], test)
    said = " ".join(texts(figure))
    assert "Mean ranks over 15 corruptions" in said and "3 degrees of freedom" in said
    assert ("critical difference 1.21" in said) == (test == "nemenyi")
    assert "eata (source data)" in said and "norm (control)" in said
    assert ranks.table([section, section], [section.lines] * 2)[1].shape == (30, 4)
    with pytest.raises(ValueError, match="expected 3 methods and 3 corruptions, got 2 and 15"):
        ranks.draw([section], [section.lines[:2]], test)


@pytest.mark.parametrize("form", ["pdf", "png", "svg"])
def test_a_picture_has_the_same_bytes_each_time(section, tmp_path, form):
    lines = chosen_lines(section, ["tent"])
    paths = [tmp_path / f"{i}.{form}" for i in range(2)]
    for path in paths:
        save(path, lambda: corruptions.draw(section, lines))
    one, other = (path.read_bytes() for path in paths)
    assert one == other and one.startswith(
        {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[form]
    )


def test_every_picture_marks_what_is_not_verifiable(many):
    for path in many.path("tent").parent.glob("*.json"):
        many.change("trace", None, path=path)
    section = board(many.shelf).sections[0]
    lines = chosen_lines(section, ["tent", "norm", "eata"])
    for figure in (
        corruptions.draw(section, lines),
        pareto.draw(section, lines, "flops"),
        ranks.draw([section, section], [lines, lines], "nemenyi"),
    ):
        assert "tent (not verifiable)" in " ".join(texts(figure))
    with pytest.raises(ValueError, match="tent is not verifiable"):
        traces(many.shelf, lines)  # of `stream` and `rounds`


def test_names_are_text_and_no_formulas(section, tmp_path):
    object.__setattr__(section.lines[0], "name", HOSTILE)
    path = save(tmp_path / "a.svg", lambda: corruptions.draw(section, section.lines))
    assert "<script>" not in path.read_text()


def test_what_cannot_be_drawn_is_said(many, section, tmp_path):
    with pytest.raises(ValueError, match=r"\.pdf, \.png, \.svg, got .*a\.gif"):
        save(tmp_path / "a.gif", lambda: None)
    with pytest.raises(ValueError, match="--method: expected some of eata, tent, norm, source"):
        chosen_lines(section, ["nothing"])
    with pytest.raises(ValueError, match="--setting: expected one of continual, got 'x'"):
        chosen_sections([section], ["x"])
    path = many.path("tent")
    many.change("trace", None, path=path)
    path.with_suffix(".npz").unlink()
    line = next(line for line in board(many.shelf).sections[0].lines if line.method == "tent")
    with pytest.raises(ValueError, match="tent is not verifiable: a picture of the stream needs"):
        traces(many.shelf, [line])


def test_who_is_shown_where_nobody_chose(section):
    assert [line.name for line in chosen_lines(section, [], most=3)] == ["eata", "norm", "source"]
    assert [line.name for line in chosen_lines(section, ["source", "tent"])] == ["source", "tent"]


def test_plot_is_typed(ctta, many, tmp_path):
    words = ("leaderboard", "plot", "ranks", "--benchmark", "digits_c")
    words += ("--entries", str(many.root))
    path = tmp_path / "figures" / "ranks.pdf"
    status, out, _ = ctta(*words, "--test", "wilcoxon", "--to", str(path))
    assert status == 0 and out.strip() == str(path) and path.is_file()
    status, _, err = ctta(*words, "--to", "ranks.doc")
    assert status == 2 and "expected a name that ends in .pdf, .png, .svg, got ranks.doc" in err
