"""The charts of usage: they can be read, say what was used, and lead to the sessions behind it."""

import pytest
from scene import OPUS, day
from test_ai_sessions import all_prompts

# Of each label in a chart that is shown: what it says, where it is, and whether it is cut.
LABELS = """
return [...document.querySelectorAll("svg.chart")].filter((chart) => chart.checkVisibility()).map((chart) => {
  const frame = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("text")].map((text) => {
    const {left, right, top, bottom} = text.getBoundingClientRect();
    const isInside = left >= frame.left - 0.5 && right <= frame.right + 0.5;
    const isWhole = isInside && top >= frame.top - 0.5 && bottom <= frame.bottom + 0.5;
    return {text: text.textContent, left, right, top, bottom, isWhole};
  });
});
"""
BARS = """
return [...document.querySelectorAll("svg.chart")].filter((chart) => chart.checkVisibility())
  .map((chart) => [...chart.querySelectorAll("path[fill^=url]")].map((path) => path.getAttribute("d")).join(""))
  .map((bars) => bars.split("M").length - 1);
"""
TABLE = """
return [...document.querySelectorAll("table")[arguments[0]].rows].slice(1)
  .map((row) => [...row.cells].map((cell) => cell.textContent.trim()));
"""


@pytest.mark.parametrize(("by", "bars"), [("day", 14), ("week", 12), ("month", 12)])
def test_charts_can_be_read(browser, by, bars):
    browser.go(f"/ai-gateway/usage?by={by}")
    charts = browser.script(LABELS)
    assert len(charts) == 4
    for labels in charts:
        assert [label for label in labels if not label["isWhole"]] == []
        assert all(label["bottom"] - label["top"] >= 10 for label in labels), "too small to read"
        beneath = [label for label in labels if label["text"][-1].isalnum() and " " in label["text"]]
        assert len(beneath) == (bars if browser.width > 500 else (bars + 3) // 4)
        for one, next_one in zip(beneath, beneath[1:]):
            assert one["right"] + 2 <= next_one["left"], f"{one['text']} runs into {next_one['text']}"
    tokens, cached, failed, waits = browser.script(BARS)
    table = browser.script(TABLE, 0)
    assert len(table) == bars
    assert tokens == sum(cell != "0" for row in table for cell in row[1:])
    both = browser.script(TABLE, 1)
    assert cached == sum(row[4] not in ("–", "0.0%") for row in both)
    assert failed == sum(row[2] not in ("–", "0.0%") for row in both) > 0
    assert waits == sum(row[6] != "–" for row in both) > 0
    # As it comes, and as a page is allowed to weigh.
    size = "fetch(location.href).then((page) => page.arrayBuffer()).then((bytes) => arguments[0](bytes.byteLength))"
    assert browser.driver.execute_async_script(size) < 40_000


def test_tables_add_up(browser):
    browser.go("/ai-gateway/usage?by=month")
    told = browser.find("section p").text
    requests = sum(int(row[1].replace(",", "")) for row in browser.script(TABLE, 1))
    assert f"{requests} requests" in told
    for summary in browser.driver.find_elements("css selector", "details.part summary"):
        summary.click()
    browser.look("usage-open")


@pytest.mark.one_look
def test_a_point_leads_to_its_sessions(browser, scene):
    for place, table in [(3, 0), (6, 1)]:
        browser.go("/ai-gateway/usage")
        for summary in browser.driver.find_elements("css selector", "details.part summary"):
            summary.click()
        link = browser.script(
            "return document.querySelectorAll('table')[arguments[0]].rows[arguments[1] + 1].querySelector('a')",
            table,
            place,
        )
        assert link.text == day(place)
        # Not beneath the head of the page, which stays where it is.
        browser.script("arguments[0].scrollIntoView({block: 'center'})", link)
        with browser.next_page("the sessions of a day"):
            link.click()
        expected = scene.listed(lambda session: session.ago == place)
        assert expected and all_prompts(browser) == expected


@pytest.mark.one_look
def test_names_lead_to_their_sessions(browser, scene):
    for name, condition in [
        (OPUS, lambda session: OPUS in session.models),
        ("OpenCode", lambda session: session.client == "OpenCode"),
        ("robot", lambda session: session.person == "robot"),
    ]:
        browser.go("/ai-gateway/usage")
        browser.press(name)
        expected = scene.listed(lambda session: session.ago <= 13 and condition(session))
        assert expected and all_prompts(browser) == expected, name


@pytest.mark.one_look
def test_time_is_gone_through(browser):
    browser.go("/ai-gateway/usage")
    for length, first in [("week", None), ("month", None), ("day", 13)]:
        browser.press(length)
        assert browser.texts(".switch [aria-current]") == [length]
        if first:
            assert f"{day(first)} to {day(0)}" in browser.text
    browser.press("Earlier")
    assert f"{day(27)} to {day(14)}" in browser.text
    browser.press("Later")
    assert f"{day(13)} to {day(0)}" in browser.text and not browser.has("[rel='next']")


@pytest.mark.one_look
def test_the_usage_of_one_person(browser):
    browser.go("/ai-gateway/usage?by=week")
    browser.fill(person="robot")
    browser.press("Show")
    assert "of robot" in browser.text and "by=week" in browser.address
    assert browser.texts("th.long a")[-1] == "robot" and "alice" not in browser.text
