"""The page as a reader uses it."""

import re
from urllib.parse import unquote, urljoin, urlparse

import numpy as np
import pytest

from ctta.results.rows import paired
from ctta.results.statistics import compare_paired

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&<b>b"
CONTINUAL = "#/digits_c/continual"
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
VIEWS = ("panel", "published", "row", "compare")


def names(page, table=0):
    """The rows that a table shows, part by part."""
    return page.evaluate(
        """(table) => [...document.querySelectorAll("main table")[table].tBodies].map((body) =>
        [...body.querySelectorAll("tr:not(.part)")].map((row) =>
        row.querySelector(".method").textContent))""",
        table,
    )


def cells(page, column):
    """The texts of a column of the first table, part by part, of measured rows."""
    return page.evaluate(
        """(column) => { const table = document.querySelector("main table");
        const at = [...table.tHead.rows[0].cells].findIndex((c) => c.textContent === column);
        return [...table.tBodies].map((body) => [...body.querySelectorAll("tr:not(.part)")]
        .filter((row) => !row.classList.contains("published"))
        .map((row) => row.cells[at].textContent)); }""",
        column,
    )


@pytest.fixture
def ids(lab):
    """The part of a row's address, by the row's name."""
    return {
        line.name: line.entries[0].entry.result.identity[:12]
        for section in lab.sections
        for line in section.lines
    }


@pytest.fixture
def addresses(ids):
    return {
        "panel": CONTINUAL,
        "published": "#/cifar10_c/continual",
        "row": f"{CONTINUAL}/row/{ids['tent']}",
        "compare": f"{CONTINUAL}/compare/{ids['cotta']}/{ids['tent']}",
    }


def test_it_opens_from_a_file_with_the_measured_benchmark(open_page):
    page = open_page()
    assert page.locator("h2").text_content() == "digits_c: continual"
    assert names(page) == [
        *(["cotta", "frozen", "norm", "source"], ["eata", "rmt"], ["tent"]),
        ["source", "norm", "tent", "cotta", "eata"],
    ]
    assert page.locator(".part").all_text_contents()[:4] == [
        "source-free, equally tuned",
        "source-using, equally tuned",
        "source-free, tuned in its own way",
        "published numbers",
    ]
    for method, mark in (("rmt", "not verifiable"), ("cotta", "not verified here")):
        for table in range(2):
            head = page.locator("main table").nth(table).locator("th.name", has_text=method).first
            assert head.get_by_text(mark, exact=True).is_visible()
    assert page.locator("th.name", has_text="not verif").count() == 4
    assert page.locator("tr:not(.published) svg.bar").count() == 7
    assert page.locator("tr.published em").first.is_visible()
    assert "schema_version" in page.locator("details.problems").text_content()


def test_nothing_can_be_loaded_from_elsewhere(open_page):
    page = open_page()
    refused = page.evaluate(
        """async () => { const found = []; addEventListener("securitypolicyviolation",
        (event) => found.push(event.effectiveDirective));
        const script = document.createElement("script"); script.textContent = "window.ran = 1";
        document.body.append(script); const image = new Image(); image.src = "https://e.org/i.png";
        await new Promise((done) => setTimeout(done, 100)); return [found.sort(), window.ran]; }"""
    )
    assert refused == [["img-src", "script-src-elem"], None]
    assert all("Content Security Policy" in text for text in open_page.told)
    open_page.told.clear()
    open_page.asked.remove("https://e.org/i.png")  # told of, and refused as above


def test_it_sorts_within_each_part(open_page):
    page = open_page(CONTINUAL)
    before = names(page)
    head = page.get_by_role("columnheader", name="NLL", exact=True)
    head.get_by_role("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    for part in cells(page, "NLL"):
        assert part == sorted(part, key=float)
    head.get_by_role("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert cells(page, "NLL")[0] == sorted(cells(page, "NLL")[0], key=float, reverse=True)
    assert [sorted(part) for part in names(page)] == [sorted(part) for part in before]
    assert page.locator("th[aria-sort]").count() == 1


def test_it_sorts_by_name_and_rows_without_a_number_come_last(open_page):
    page = open_page(CONTINUAL)
    page.get_by_role("columnheader", name="method").first.get_by_role("button").click()
    assert names(page)[0] == ["cotta", "frozen", "norm", "source"]
    tuning = page.get_by_role("columnheader", name="tuning runs").get_by_role("button")
    for _ in range(2):
        tuning.click()
        assert names(page)[0][0] == "cotta" and cells(page, "tuning runs")[0][-1] == ""


def test_it_filters_and_the_controls_stay(open_page):
    page = open_page(CONTINUAL)
    controls = ["frozen", "norm", "source"]
    page.get_by_role("searchbox").fill("TENT")
    assert names(page) == [controls, ["tent"], ["tent"]] == names(page, 1)
    assert page.get_by_role("status").text_content() == "5 of 12 rows"
    page.get_by_role("searchbox").fill("")
    page.get_by_label("source-free, equally tuned").uncheck()
    assert names(page)[0] == controls and len(names(page)) == 4
    page.get_by_label("verified only").check()
    assert names(page)[1] == ["eata"]
    page.get_by_label("source-free, equally tuned").check()
    assert names(page)[0] == controls  # and not cotta, whose traces are elsewhere
    page.get_by_label("source-free, equally tuned").uncheck()
    page.get_by_label("published numbers").uncheck()
    assert names(page) == [controls, ["eata"], ["tent"]]


def test_it_switches_benchmark_and_setting(open_page):
    page = open_page()
    page.get_by_role("searchbox").fill("tent")
    tabs = page.get_by_role("navigation", name="Benchmarks")
    tabs.get_by_role("link", name="cifar10_c").press("Enter")
    assert page.url.endswith("#/cifar10_c/continual")
    assert page.locator("h2").text_content() == "cifar10_c: continual"
    assert page.title() == "cifar10_c, continual: leaderboard"
    assert tabs.locator("[aria-current=page]").text_content() == "cifar10_c"
    page.get_by_role("navigation", name="Settings").get_by_role("link", name="gradual").click()
    assert page.locator("h2").text_content() == "cifar10_c: gradual"
    page.go_back()
    page.go_back()
    assert page.locator("h2").text_content() == "digits_c: continual"
    assert page.get_by_role("searchbox").input_value() == "tent"


def test_a_row_has_its_protocol_and_downloads(open_page, shelf):
    page = open_page(CONTINUAL)
    page.get_by_role("link", name="eata").first.click()
    assert page.locator("h2").text_content().startswith("eata")
    assert page.locator("pre").first.text_content() == (
        "ctta run -m dataset=digits_c stream=continual model=digits_cnn_shipped method=eata "
        "stream.seed=0,1,2"
    )
    assert re.search(r"method\.optimizer\.lr: [\d.e-]+\n", page.locator("main").inner_text())
    links = page.locator("a[download]").evaluate_all("(all) => all.map((a) => a.href)")
    files = [unquote(urlparse(link).path) for link in links]
    own = shelf.root / "digits_c" / "eata"
    whole = [path for path in own.iterdir() if path.name != "broken.json"]
    assert sorted(files) == sorted(map(str, whole))
    page.get_by_role("button", name="Copy").first.click()
    page.get_by_role("button", name="Copied").wait_for()


def test_what_is_not_verifiable_has_no_trace_to_download(open_page, ids):
    page = open_page(f"{CONTINUAL}/row/{ids['rmt']}")
    assert page.locator("a[download]").all_text_contents() == ["record"] * 3
    assert page.locator("h2 .not-verifiable").is_visible()
    assert page.locator("td .not-verifiable").count() == 3
    assert page.locator("figure").count() == 0


def agrees(page, first, second):
    """The comparison that is shown is that of `paired`."""
    expected = paired(first.row, second.row)
    assert page.locator("h2").text_content() == f"{first.name} and {second.name}"
    verdict = page.locator(".verdict")
    shown = [float(verdict.get_attribute(f"data-{name}")) for name in ("mean", "low", "high")]
    assert shown == pytest.approx(
        [expected.mean, expected.interval.low, expected.interval.high], abs=1e-3
    )
    assert f"{abs(expected.mean):.2f} points of error" in verdict.text_content()
    return True


def test_a_linked_trace_is_linked(open_page, ids):
    page = open_page(f"{CONTINUAL}/row/{ids['cotta']}")
    links = page.get_by_role("link", name="trace", exact=True)
    assert (
        links.evaluate_all("(all) => all.map((a) => [a.href, a.rel])")
        == [["https://e.org/trace.npz", "noopener noreferrer"]] * 3
    )
    assert page.locator("h2 .not-verified-here").is_visible()
    assert page.locator("td .not-verified-here").count() == 3


def test_a_comparison_and_the_pictures_mark_what_is_not_verified(open_page, ids):
    page = open_page(f"{CONTINUAL}/compare/{ids['rmt']}/{ids['cotta']}")
    assert page.locator(".warning .badge").all_text_contents() == [
        "not verifiable",
        "not verified here",
    ]
    assert page.locator("thead th").all_text_contents()[1:3] == [
        "rmt (not verifiable)",
        "cotta (not verified here)",
    ]
    page.goto(page.url.partition("#")[0] + CONTINUAL)
    costs = page.get_by_role("img").nth(1)
    titles = costs.locator("circle title").all_text_contents()
    assert sum(title.startswith("rmt (not verifiable): ") for title in titles) == 1


def test_two_chosen_rows_are_compared_as_the_statistics_do(open_page, lab):
    (section,) = lab.sections
    lines = {line.name: line for line in section.lines}
    page = open_page(CONTINUAL)
    assert page.locator(".button").get_attribute("href") is None
    page.get_by_label("choose cotta").check()
    page.get_by_label("choose eata").check()
    page.get_by_role("link", name="Compare the two chosen rows").click()
    assert agrees(page, lines["cotta"], lines["eata"])
    assert page.locator("tbody tr").count() == 15
    page.get_by_role("link", name="Swap").click()
    assert agrees(page, lines["eata"], lines["cotta"])
    page.get_by_label("First").select_option(label="rmt (not verifiable)")
    page.get_by_label("Second").select_option(label="source (control)")
    page.wait_for_function("""document.querySelector("h2").textContent === "rmt and source" """)
    assert agrees(page, lines["rmt"], lines["source"])
    assert "rmt is better" in page.locator(".verdict").text_content()
    warning = page.locator(".warning", has_text="not the same means")  # source-using, source-free
    assert warning.is_visible()


@pytest.mark.parametrize(
    ("runs", "others", "sizes"),
    [
        ([1], [1], [1, 1, 1]),  # one order, one run
        ([2, 2], [1, 1], [1] * 4),
        ([3, 1, 2], [1, 2, 2], [5, 1, 2]),  # unlike numbers of runs, severities together
        ([1] * 5, [1] * 5, [1] * 19),
        ([4], [2], [1]),
    ],
)
def test_the_paired_bootstrap_draws_what_python_draws(open_page, runs, others, sizes):
    draw = np.random.default_rng(len(runs))
    first, second = (
        [draw.uniform(0, 100, (n, len(sizes))) * sizes for n in own] for own in (runs, others)
    )
    expected = compare_paired(first, second, np.array(sizes, float))
    tables = [[own.tolist() for own in table] for table in (first, second)]
    found = open_page().evaluate(
        "([a, b, sizes]) => comparePaired(a, b, sizes, data.draws)", [*tables, sizes]
    )
    assert found["mean"] == pytest.approx(expected.mean, abs=1e-9)
    assert found["interval"] == pytest.approx(
        [expected.interval.low, expected.interval.high], abs=1e-9
    )


def test_nothing_is_drawn_where_nothing_can_be(open_page):
    found = open_page().evaluate("comparePaired([[[3]]], [[[5]]], [1], data.draws)")
    assert found == {"mean": -2, "interval": None}


def test_pictures_say_what_they_show(open_page):
    page = open_page(CONTINUAL)
    stream, costs = page.get_by_role("img").all()
    assert stream.get_attribute("aria-label").startswith("Error in % along the stream")
    assert "eata from" in stream.get_attribute("aria-label")
    assert costs.get_attribute("aria-label").startswith("Error in % against ms an image")
    assert costs.locator("circle").count() == 7
    page.get_by_label("Cost:").select_option("MFLOPs an image")
    costs = page.get_by_role("img").nth(1)
    assert costs.get_attribute("aria-label").startswith("Error in % against MFLOPs an image")
    page.get_by_label("choose norm").check()
    assert page.locator(".legend").text_content() == "norm (control)"
    assert page.locator("circle.chosen").count() == 1


def test_the_front_is_what_none_beats(open_page):
    marks = [{"cost": c, "error": e} for c, e in ((2, 9), (1, 10), (3, 9), (1, 12), (4, 5))]
    found = open_page().evaluate("(marks) => front(marks)", marks)
    assert [(mark["cost"], mark["error"]) for mark in found] == [(1, 10), (2, 9), (4, 5)]


def test_the_heat_map_is_darker_where_the_error_is_greater(open_page):
    page = open_page(CONTINUAL)
    found = page.locator(".heatmap td.heat").evaluate_all(
        """(all) => all.map((cell) => [parseFloat(cell.textContent),
        parseFloat(cell.style.getPropertyValue("--share")),
        getComputedStyle(cell).backgroundColor])"""
    )
    assert len(found) == 12 * 16
    found.sort()
    assert [share for _, share, _ in found] == sorted(share for _, share, _ in found)
    assert len({colour for *_, colour in found}) > 20


def test_it_is_dark_where_the_reader_wants_that(open_page):
    light, dark = (open_page(CONTINUAL, color_scheme=scheme) for scheme in ("light", "dark"))
    seen = "getComputedStyle(document.body).backgroundColor"
    assert light.evaluate(seen) == "rgb(255, 255, 255)"
    assert max(map(int, re.findall(r"\d+", dark.evaluate(seen)))) < 40


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_scrolls_down_only(open_page, addresses, view):
    page = open_page(addresses[view], **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.evaluate("innerWidth") == 390
    wide = page.locator(".wide").first
    assert wide.bounding_box()["width"] <= 390
    if view == "compare":  # with the bars
        assert wide.evaluate("(node) => node.scrollWidth <= node.clientWidth")
    if view == "panel":  # the best-known number is there without scrolling, under its name
        head = page.locator("thead th", has_text="mean").first.bounding_box()
        assert head["x"] + head["width"] <= 390
    if view in ("panel", "published"):
        name = page.locator("tbody th.name").first
        before = name.bounding_box()["x"]
        wide.evaluate("(node) => node.scrollBy(200, 0)")
        assert name.bounding_box()["x"] == pytest.approx(before, abs=1)
        assert name.bounding_box()["width"] < 230


def test_hostile_strings_stay_text(open_page, addresses):
    page = open_page(addresses["row"])
    assert page.locator("dd", has_text="alert(1)").first.text_content() == HOSTILE
    assert f"device: {HOSTILE}" in page.locator("pre").last.text_content()
    page.goto(urljoin(page.url, addresses["panel"]))
    assert page.locator("li", has_text="tent: </script>").is_visible()
    assert page.locator("img, main script, main b").count() == 0


@pytest.mark.parametrize("bad", ["#/x/y", "#/digits_c/continual/row/none", "#/%22%3E/<img>/row/x"])
def test_an_unknown_address_shows_a_table(open_page, bad):
    assert open_page(bad).locator("h2").text_content() == "digits_c: continual"


def test_of_very_many_rows_a_hundred_are_drawn_until_all_are_asked_for(open_page):
    page = open_page()
    page.evaluate(
        """() => { const panel = data.panels[0], [first] = panel.rows;
        for (let i = 0; i < 150; i += 1) {
          panel.parts[0].rows.push(panel.rows.length);
          panel.rows.push({ ...first, id: `copy${i}`, name: `copy${i}` });
        }
        show(false); }"""
    )
    assert sum(map(len, names(page))) == 100
    page.get_by_role("button", name="Show all").first.click()
    assert sum(map(len, names(page))) == 162
    assert sum(map(len, names(page, 1))) == 100


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(
    "options",
    [{"color_scheme": "light"}, {"color_scheme": "dark"}, PHONE],
    ids=["light", "dark", "phone"],
)
def test_axe_finds_nothing_serious(open_page, addresses, view, options):
    from axe_playwright_python.sync_playwright import Axe

    page = open_page(addresses[view], **options)
    found = Axe().run(page).response["violations"]
    serious = [
        (rule["id"], rule["impact"], [node["html"][:200] for node in rule["nodes"][:3]])
        for rule in found
        if rule["impact"] in ("serious", "critical")
    ]
    assert not serious


def test_it_is_used_by_keyboard_alone(open_page):
    page = open_page(CONTINUAL)
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || "
                "document.activeElement.textContent || document.activeElement.type"
            )
        )
    for text in ("cifar10_c", "search", "NLL", "choose cotta", "cotta", "Results"):
        assert text in seen
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
