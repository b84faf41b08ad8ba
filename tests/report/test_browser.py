"""The page in a real browser: alone, by keyboard, in the dark, on paper, in a narrow window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.builders import page_of, row, three_teachers, unpacked
from tests.report.test_traces import NASTY, UNWRITABLE

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed")


STEPS = [*NASTY, *UNWRITABLE, "x" * 5000]


@pytest.fixture(scope="module")
def text() -> str:
    rows = three_teachers()
    scores = [-1.0 - 0.5 * place for place in range(len(STEPS))]
    rows += [
        row("last <b>&", t, [score - i for score in scores], steps=STEPS, whole=scores,
            correct=t != "R1")
        for i, t in enumerate(("DSQ", "R1", "QwQ"))
    ]  # fmt: skip
    return page_of(rows)


@pytest.fixture(scope="module")
def file(text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield started
        started.close()


class Opened:
    def __init__(self, browser: Any, file: Path, *, fragment: str = "", **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.logged: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.goto(file.as_uri() + fragment)
        if context.get("java_script_enabled", True):
            self.page.wait_for_selector("html.drawn", timeout=120_000)


@pytest.mark.parametrize("width", [400, 1400])
def test_legends_of_long_names_stay_in_their_plots(
    browser: Any, tmp_path: Path, width: int
) -> None:
    names = [f"Some-Teacher-{i}B-Instruct-20241022" for i in range(9)]
    rows = [
        row(f"p{p}", name, [-1.0 - 0.1 * i - 0.01 * p], whole=[-1.2 - 0.1 * i])
        for p in range(3)
        for i, name in enumerate(names)
    ]
    path = tmp_path / "report.html"
    path.write_text(page_of(rows), encoding="utf-8", newline="\n")
    tab = Opened(browser, path, viewport={"width": width, "height": 900})
    over = tab.page.evaluate(
        """() => [...document.querySelectorAll(".chart")].filter((box) => {
          const right = box.getBoundingClientRect().right + 1;
          return [...box.querySelectorAll(".role-legend text")]
            .some((text) => text.getBoundingClientRect().right > right);
        }).map((box) => box.dataset.chart)"""
    )
    assert over == []
    shown = tab.page.locator('[data-chart="length"] .role-legend text').all_text_contents()
    assert [name.startswith(f"Some-Teacher-{i}B") for i, name in enumerate(shown)] == [True] * 9
    tab.context.close()


def test_names_that_are_cut_beside_a_plot_still_differ(browser: Any, tmp_path: Path) -> None:
    names = ["Meta-Llama-3.1-70B-Instruct", "Meta-Llama-3.1-8B-Instruct", "Qwen", "a" * 40]
    rows = [
        row(f"p{p}", name, [-1.0 - 0.1 * (i if p else 0)], whole=[-1.2 - 0.1 * i])
        for p in range(3)
        for i, name in enumerate(names)
    ]
    path = tmp_path / "report.html"
    path.write_text(page_of(rows), encoding="utf-8", newline="\n")
    tab = Opened(browser, path, viewport={"width": 400, "height": 900})
    page = tab.page

    def beside(plot: str) -> list[str]:
        return list(page.locator(f"[data-chart={plot}] .role-axis-label text").all_text_contents())

    shown = [one for one in beside("difference") if one[0] in "MQa"]
    assert shown[0].startswith("Meta…70B") and shown[1].startswith("Meta…8B")
    assert shown[2] == "Qwen"
    assert shown[3].startswith("aaa") and shown[3].endswith("a") and "…" in shown[3]
    assert "global_step_naturalness" in beside("winners")  # metrics are not cut
    # On p0 all four tie: each of them finds it.
    for i in range(4):
        page.locator("#filter-winner").select_option(str(i))
        assert "p0" in listed(page)
    assert page.locator("#list-count").inner_text() == "1 of 3 prompts, 1 of them tied"
    assert "p0 · tied" in page.locator(".option .small").first.inner_text()
    tab.context.close()


def test_on_paper_the_settings_are_open(browser: Any, file: Path) -> None:
    tab = Opened(browser, file)
    is_open = "document.querySelector('#settings details').open"
    assert not tab.page.evaluate(is_open)
    tab.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate(is_open)
    tab.page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert not tab.page.evaluate(is_open)
    tab.context.close()


@pytest.fixture(scope="module")
def shared_tab(browser: Any, file: Path) -> Iterator[Opened]:
    tab = Opened(browser, file, viewport={"width": 1200, "height": 800})
    yield tab
    tab.context.close()


@pytest.fixture
def opened(shared_tab: Opened) -> Opened:
    """The page as it is when it opens; drawing it again for each test would take long."""
    page = shared_tab.page
    shared_tab.logged.clear()
    page.evaluate("document.activeElement && document.activeElement.blur()")
    page.locator("#search").fill("")
    page.locator("#filter-winner").select_option("")
    page.locator("#filter-correct").select_option("")
    if page.locator("#correct-only").get_attribute("aria-pressed") == "true":
        page.locator("#correct-only").click()
    page.locator('[data-view="4"]').click()
    page.locator('[data-sort="place"]').click()
    page.locator(".option").first.click()
    page.wait_for_selector("#trace h3:text-is('Prompt p0')")
    page.evaluate("document.activeElement && document.activeElement.blur()")
    page.mouse.move(0, 0)
    return shared_tab


def step_in_focus(page: Any) -> str:
    return str(page.locator("#step-details").inner_text())


def shown(page: Any) -> str:
    return str(page.locator("#trace h3").inner_text())


def listed(page: Any) -> list[str]:
    return [each.split(" · ")[0] for each in page.locator(".option .small").all_inner_texts()]


def test_it_opens_alone_and_in_silence(browser: Any, file: Path) -> None:
    """No request, no breach of its policy, no warning of Vega: not in the charts either."""
    tab = Opened(browser, file)
    assert tab.page.locator(".chart svg").count() == 8
    assert tab.logged == []
    assert tab.requested == [file.as_uri()]
    assert tab.page.locator("style").count() == 1  # Vega has added none of its own
    tab.context.close()


def test_a_console_error_would_be_seen(opened: Opened) -> None:
    opened.page.evaluate("console.error('seen')")
    assert opened.logged == ["seen"]


def test_the_policy_stops_what_is_added(opened: Opened) -> None:
    opened.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'file:///x.png'}))")
    opened.page.wait_for_timeout(100)
    assert any("Content Security Policy" in each for each in opened.logged)
    # Later than the call itself, which may do what the page may not.
    stopped = opened.page.evaluate(
        "() => new Promise((done) => setTimeout(() => {"
        " try { done(new Function('return 1')()); } catch (error) { done(error.name); } }))"
    )
    assert stopped == "EvalError"


def test_hostile_text_is_unpacked_as_it_was(opened: Opened, text: str) -> None:
    page = opened.page
    page.locator(".option").nth(5).click()
    page.wait_for_selector("#trace h3:has-text('Prompt last')")
    assert shown(page) == "Prompt last <b>&"
    spans = "[...document.querySelector('#trace .steps').children].map((one) => one.textContent)"
    letters = page.evaluate(f"{spans}.map((text) => [...text].map((one) => one.codePointAt(0)))")
    assert ["".join(map(chr, each)) for each in letters] == STEPS
    assert unpacked(text, "trace-5")["responses"][0]["steps"] == STEPS
    assert page.locator("#trace b").count() == 0


def test_the_list_is_searched_filtered_and_sorted(opened: Opened) -> None:
    page = opened.page
    assert listed(page) == ["p0", "p1", "p2", "p3", "p4", "last <b>&"]
    page.locator("#search").fill("LAST <B>")
    assert listed(page) == ["last <b>&"]
    page.locator("#search").fill("What is p3")
    assert listed(page) == ["p3"]
    page.locator("#search").fill("")
    page.locator("#filter-winner").select_option(label="▲ DSQ")
    assert listed(page) == ["last <b>&"]
    page.locator("#filter-winner").select_option("")
    page.locator("#filter-correct").select_option("n")
    assert listed(page) == ["p0", "p3"]
    assert "2 of 6 prompts" in page.locator("#list-count").inner_text()
    page.locator("#filter-correct").select_option("all")
    assert listed(page) == []
    page.locator("#filter-correct").select_option("")
    page.locator('[data-sort="lead"]').click()
    assert listed(page)[0] == "last <b>&"
    page.locator('[data-sort="apart"]').click()
    assert listed(page) == []
    assert "other winners" in page.locator("#list-count").inner_text()


def test_steps_are_shaded_by_the_view(opened: Opened) -> None:
    page = opened.page
    classes = "[...document.querySelectorAll('#trace .steps span')].map((one) => one.className)"
    before = page.evaluate(classes)
    assert set(before) <= {f"s{i}" for i in range(7)} and len(set(before)) > 2
    page.locator('[data-view="difference"]').click()
    assert page.evaluate(classes) != before
    assert "global minus window 4" in page.locator("#legend-text").inner_text()
    assert page.locator("#legend li").count() == 8
    page.locator("#correct-only").click()
    names = page.locator("#trace .response:visible h4").all_inner_texts()
    assert [name[2:] for name in names] == ["R1", "DSQ"]


def test_the_keyboard_moves_between_steps(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("ArrowRight")
    assert step_in_focus(page).startswith("QwQ, step 1 of 4, 2 tokens: window 4 -1.00; global")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert step_in_focus(page).startswith("QwQ, step 3 of 4")
    page.keyboard.press("ArrowLeft")
    assert step_in_focus(page).startswith("QwQ, step 2 of 4")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert step_in_focus(page).startswith("QwQ, step 4 of 4")
    page.keyboard.press("Home")
    assert step_in_focus(page).startswith("QwQ, step 1 of 4")


def test_the_numbers_of_a_step_are_those_of_the_plain_page(opened: Opened, browser: Any,
                                                           file: Path) -> None:  # fmt: skip
    page = opened.page
    page.locator("#trace .steps").nth(1).locator("span").nth(2).focus()
    details = step_in_focus(page)
    assert details.startswith("R1, step 3 of 5")
    assert (
        page.locator("#trace .steps").nth(1).locator("span").nth(2).bounding_box()["y"]
        < (page.locator("#step-details").bounding_box()["y"])
    )
    page.locator("#trace .steps").nth(0).locator("span").nth(0).hover()
    assert step_in_focus(page).startswith("QwQ, step 1 of 4")
    page.mouse.move(0, 0)
    assert step_in_focus(page) == details


def test_the_keyboard_moves_between_prompts(opened: Opened) -> None:
    page = opened.page
    page.locator("#trace .steps").nth(1).locator("span").nth(0).focus()
    page.keyboard.press("j")
    page.wait_for_selector("#trace h3:text-is('Prompt p1')")
    assert step_in_focus(page).startswith("R1, step 1 of 5")
    page.keyboard.press("k")
    page.wait_for_selector("#trace h3:text-is('Prompt p0')")
    page.keyboard.press("k")
    assert shown(page) == "Prompt p0"
    page.locator("nav a").first.focus()
    page.keyboard.press("j")
    page.wait_for_selector("#trace h3:text-is('Prompt p1')")
    page.locator("#search").focus()
    page.keyboard.press("j")
    assert page.locator("#search").input_value() == "j" and shown(page) == "Prompt p1"
    page.locator("#search").fill("")
    page.locator("#prompt-list").focus()
    page.keyboard.press("End")
    page.wait_for_selector("#trace h3:has-text('Prompt last')")
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("#trace h3:text-is('Prompt p4')")
    assert page.locator("#prompt-list").get_attribute("aria-activedescendant") == "option-4"
    page.locator(".scroll").first.focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.className") == "scroll"


def test_a_listed_step_is_one_click_away(opened: Opened) -> None:
    page = opened.page
    section = page.locator("#trace .response").nth(0)
    section.locator(".extremes summary").click()
    link = section.locator(".extremes button").first
    step = int(link.get_attribute("data-go")) + 1
    link.click()
    assert step_in_focus(page).startswith(f"QwQ, step {step} of 4")


@pytest.mark.parametrize("name", ["length", "local_global"])
def test_a_click_on_a_point_opens_its_trace(opened: Opened, name: str) -> None:
    page = opened.page
    x, y, prompt, teacher = page.evaluate(
        "(name) => { const box = document.querySelector(`[data-chart=${name}]`);"
        " box.scrollIntoView({ block: 'center' });"
        " for (const mark of box.querySelectorAll('.mark-symbol path')) {"
        "  const row = mark.__data__ && mark.__data__.datum, at = mark.getBoundingClientRect();"
        "  const x = at.x + at.width / 2, y = at.y + at.height / 2;"
        "  if (row && row.p > 0 && row.t > 0 && document.elementFromPoint(x, y) === mark)"
        "   return [x, y, row.prompt, row.teacher]; } }",
        name,
    )
    page.mouse.click(x, y)
    page.wait_for_selector("#trace .response.chosen")
    assert shown(page) == f"Prompt {prompt}"
    assert page.locator("#trace .response.chosen").get_attribute("aria-label") == teacher
    assert step_in_focus(page).startswith(f"{teacher}, step 1 of")
    assert page.evaluate("decodeURIComponent(location.hash)") == f"#p={prompt}"


def test_an_address_opens_its_prompt(browser: Any, file: Path) -> None:
    tab = Opened(browser, file, fragment="#p=last%20%3Cb%3E%26")
    assert shown(tab.page) == "Prompt last <b>&"
    tab.context.close()


def test_without_a_script_a_trace_and_the_tables_can_be_read(browser: Any, file: Path) -> None:
    tab = Opened(browser, file, java_script_enabled=False)
    page = tab.page
    assert page.locator("#plain-trace").is_visible()
    assert page.locator("#explorer").is_hidden()
    assert page.get_by_text("The first trace alone can be read here").is_visible()
    assert page.locator(".chart svg:visible").count() == 1
    assert (
        page.locator("#plain-trace .steps span").first.get_attribute("title").startswith("step 1")
    )
    assert page.locator("table:visible").count() >= 5
    assert tab.logged == []
    tab.context.close()


def test_a_browser_that_cannot_unpack_says_so_and_shows_the_rest(browser: Any, file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(file.as_uri())
    page.wait_for_selector("html.drawn", timeout=120_000)
    assert page.get_by_text("a browser that knows DecompressionStream").is_visible()
    assert page.locator("#plain-trace").is_visible()
    assert page.locator(".chart svg").count() == 8
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind(browser: Any, file: Path, scheme: str) -> None:
    tab = Opened(browser, file, color_scheme=scheme)
    weakest = tab.page.evaluate(CONTRAST)
    assert weakest["checked"] > 100
    assert weakest["ratio"] >= 4.5, weakest
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(244, 246, 250)") == (scheme == "light")
    tab.context.close()


def test_it_is_readable_in_a_narrow_window(browser: Any, file: Path) -> None:
    tab = Opened(browser, file, viewport={"width": 400, "height": 800})
    page = tab.page
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    for plot in page.locator(".chart svg").all():
        box = plot.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400
    sizes = page.evaluate(
        "[...document.querySelectorAll('.chart svg text')].map((one) => {"
        " const drawn = one.ownerSVGElement;"
        " const scale = drawn.getBoundingClientRect().width / drawn.viewBox.baseVal.width;"
        " return parseFloat(getComputedStyle(one).fontSize) * scale; })"
    )
    assert len(sizes) > 50 and min(sizes) >= 12
    page.set_viewport_size({"width": 320, "height": 700})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    tab.context.close()


def test_a_wide_window_is_used(opened: Opened) -> None:
    page = opened.page
    page.set_viewport_size({"width": 1400, "height": 900})
    page.wait_for_timeout(300)
    widths = page.evaluate(
        "[...document.querySelectorAll('.chart svg')].map((one) => "
        "one.getBoundingClientRect().width / one.closest('.chart').clientWidth)"
    )
    assert min(widths) > 0.95 and max(widths) <= 1.01
    assert page.evaluate("document.documentElement.scrollWidth") == 1400
    page.set_viewport_size({"width": 1200, "height": 800})


def test_it_prints_light_and_whole(browser: Any, file: Path, tmp_path: Path) -> None:
    tab = Opened(browser, file, color_scheme="dark", viewport={"width": 794, "height": 1000})
    page = tab.page
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    label = "getComputedStyle(document.querySelector('.chart svg text')).fill"
    assert page.evaluate(label) in ("rgb(27, 31, 36)", "rgb(84, 93, 104)")
    assert page.evaluate("document.documentElement.scrollWidth") == 794
    assert page.locator("#search").is_hidden() and page.locator("#trace .steps").first.is_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('#trace .steps')).maxHeight") == (
        "none"
    )
    tab.context.close()


CONTRAST = """() => {
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
  };
  let ratio = 99, where = "", checked = 0;
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || node.matches("script, option, title, desc, .sr")) continue;
    const style = getComputedStyle(node);
    const front = light(parts(node.closest("svg") ? style.fill : style.color));
    const back = light(behind(node));
    const found = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    checked += 1;
    if (found < ratio) { ratio = found; where = node.outerHTML.slice(0, 80); }
  }
  return { ratio, where, checked };
}"""
