"""The page in a real browser: alone, by keyboard, in the dark, on paper, in a narrow window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.builders import page_of, row, three_teachers

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium or chrome is installed")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = three_teachers()
    hostile = ["<img src=http://example.org/x> ", "x" * 5000, "</script><script>boom()</script>"]
    rows += [row("last", t, [-1.0, -2.0, -3.0], steps=hostile) for t in ("QwQ", "R1", "DSQ")]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page_of(rows), encoding="utf-8", newline="\n")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield started
        started.close()


class Opened:
    def __init__(self, browser: Any, file: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.logged: list[str] = []
        self.requested: list[str] = []
        self.page.on("console", lambda message: self.logged.append(message.text))
        self.page.on("pageerror", lambda error: self.logged.append(str(error)))
        self.page.on("request", lambda request: self.requested.append(request.url))
        self.page.goto(file.as_uri())


@pytest.fixture
def opened(browser: Any, file: Path) -> Iterator[Opened]:
    tab = Opened(browser, file, viewport={"width": 1200, "height": 800})
    yield tab
    tab.context.close()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.title"))


def shown(page: Any) -> str:
    return str(page.locator("article:visible h3").inner_text())


def test_it_opens_alone_and_in_silence(opened: Opened, file: Path) -> None:
    opened.page.locator("#prompt-choice").select_option("5")
    assert shown(opened.page) == "Prompt last"
    assert opened.logged == []
    assert opened.requested == [file.as_uri()]


def test_a_console_error_would_be_seen(opened: Opened) -> None:
    opened.page.evaluate("console.error('seen')")
    assert opened.logged == ["seen"]


def test_the_policy_stops_what_is_added(opened: Opened) -> None:
    opened.page.evaluate("document.body.append(Object.assign(new Image(), {src: 'file:///x.png'}))")
    opened.page.wait_for_timeout(100)
    assert any("Content Security Policy" in each for each in opened.logged)


def test_the_keyboard_moves_between_steps(opened: Opened) -> None:
    page = opened.page
    page.locator("#prompt-next").focus()
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused(page).startswith("step 1 of 4"):
            break
    assert focused(page).startswith("step 1 of 4")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("step 3 of 4")
    page.keyboard.press("ArrowLeft")
    assert focused(page).startswith("step 2 of 4")
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("step 4 of 4")
    page.keyboard.press("Home")
    assert focused(page).startswith("step 1 of 4")


def test_the_step_in_focus_shows_its_numbers(opened: Opened) -> None:
    page = opened.page
    step = page.locator("#p0 .steps").nth(1).locator("span").nth(2)
    step.focus()
    details = page.locator("#step-details").inner_text()
    assert details == f"R1, {step.get_attribute('title')}"
    assert "window 4 -" in details and "; global -" in details
    page.locator("#p0 .steps").nth(0).locator("span").nth(0).hover()
    assert page.locator("#step-details").inner_text().startswith("QwQ, step 1 of 4")
    page.mouse.move(0, 0)
    assert page.locator("#step-details").inner_text() == details


def test_the_step_in_focus_is_not_behind_the_line_that_shows_it(opened: Opened) -> None:
    page = opened.page
    page.locator("#p0 .steps").nth(2).locator("span").nth(4).focus()
    step = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
    assert step <= page.locator("#step-details").bounding_box()["y"]


def test_the_keyboard_moves_between_prompts(opened: Opened) -> None:
    page = opened.page
    page.locator("#p0 .steps").nth(1).locator("span").nth(0).focus()
    page.keyboard.press("j")
    assert shown(page) == "Prompt p1"
    assert page.evaluate(
        "document.activeElement.closest('section').getAttribute('aria-label')"
    ) == ("R1")
    assert page.locator("#prompt-choice").input_value() == "1"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert shown(page) == "Prompt p0"
    assert page.locator("#prompt-previous").is_disabled()
    page.locator("#prompt-next").click()
    assert shown(page) == "Prompt p1"


def test_the_keyboard_works_with_the_focus_on_a_link_or_on_nothing(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("j")
    assert shown(page) == "Prompt p1"
    assert page.evaluate("document.activeElement.closest('.steps') === "
                         "document.querySelector('#p1 .steps')")  # fmt: skip
    assert focused(page).startswith("step 1 of 4")
    page.locator("#p1 .response li a").first.focus()
    page.keyboard.press("j")
    assert shown(page) == "Prompt p2" and focused(page).startswith("step 1 of 4")
    page.locator("nav a").first.focus()
    page.keyboard.press("k")
    assert shown(page) == "Prompt p1" and focused(page).startswith("step 1 of 4")


def test_an_arrow_goes_to_the_first_step_where_none_has_the_focus(opened: Opened) -> None:
    page = opened.page
    page.keyboard.press("ArrowRight")
    assert focused(page).startswith("step 1 of 4")
    page.locator(".scroll").first.focus()
    page.keyboard.press("ArrowRight")
    assert focused(page) == ""


def test_keys_in_a_form_field_are_its_own(opened: Opened) -> None:
    page = opened.page
    page.locator("#prompt-choice").focus()
    page.keyboard.press("j")
    assert shown(page) == "Prompt p0"
    assert page.evaluate("document.activeElement.id") == "prompt-choice"


def test_a_listed_step_is_one_click_away(opened: Opened) -> None:
    page = opened.page
    link = page.locator("#p0 .response").nth(0).locator("li a").first
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("'#' + document.activeElement.id") == link.get_attribute("href")


def test_an_address_opens_its_prompt(browser: Any, file: Path) -> None:
    tab = Opened(browser, file)
    tab.page.goto(f"{file.as_uri()}#p2")
    tab.page.reload()
    assert shown(tab.page) == "Prompt p2"
    tab.context.close()


def test_without_a_script_the_first_prompt_can_be_read(browser: Any, file: Path) -> None:
    tab = Opened(browser, file, java_script_enabled=False)
    page = tab.page
    assert page.locator("article:visible").count() == 1
    assert page.locator("#prompt-choice").is_hidden()
    assert page.get_by_text("All 6 prompts with a response are here").is_hidden()
    assert page.get_by_text("Without JavaScript the first prompt alone").is_visible()
    assert page.locator("#p0 .steps span").first.get_attribute("title").startswith("step 1 of 4")
    assert page.locator("svg.plot:visible").count() == 9
    tab.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind(browser: Any, file: Path, scheme: str) -> None:
    tab = Opened(browser, file, color_scheme=scheme)
    weakest = tab.page.evaluate(CONTRAST)
    assert weakest["checked"] > 100
    assert weakest["ratio"] >= 4.5, weakest
    paper = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    tab.context.close()


@pytest.mark.parametrize("width", [320, 1200])
def test_the_page_never_scrolls_sideways(browser: Any, file: Path, width: int) -> None:
    tab = Opened(browser, file, viewport={"width": width, "height": 700})
    tab.page.locator("#prompt-choice").select_option("5")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    tab.context.close()


def test_a_plot_shrinks_with_the_window_so_that_nothing_of_it_is_hidden(
    browser: Any, file: Path
) -> None:
    tab = Opened(browser, file, viewport={"width": 400, "height": 800})
    for plot in tab.page.locator("svg.plot").all():
        box = plot.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 400
    tab.context.close()


def test_it_prints_light_and_whole(browser: Any, file: Path, tmp_path: Path) -> None:
    tab = Opened(browser, file, color_scheme="dark", viewport={"width": 794, "height": 1000})
    page = tab.page
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert page.evaluate("document.documentElement.scrollWidth") == 794
    assert page.locator("#prompt-choice").is_hidden()
    assert page.evaluate("getComputedStyle(document.querySelector('.steps')).maxHeight") == "none"
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
    if (!own || node.matches("script, option, title, desc, button:disabled")) continue;
    const style = getComputedStyle(node);
    const front = light(parts(node.closest("svg") ? style.fill : style.color));
    const back = light(behind(node));
    const found = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    checked += 1;
    if (found < ratio) { ratio = found; where = node.outerHTML.slice(0, 80); }
  }
  return { ratio, where, checked };
}"""
