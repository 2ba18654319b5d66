"""The list of sessions: finding in it, going through it, taking it along; and how it keeps itself up to date."""

import csv
import json

import hostile
import processes
import pytest
from asking import CLAUDE_CODE, CODEX
from conftest import LOOKS
from scene import GPT, LONG, OPUS, Session, day

LIST = "/ai-gateway/sessions"
PROMPTS = "#live a.prompt"

# As a list begins unless asked.
USUAL = 30

FILTERS = {
    "person": ({"person": "alice"}, lambda session: session.person == "alice"),
    "client": ({"client": "Codex"}, lambda session: session.client == "Codex"),
    "provider": ({"provider": "openai"}, lambda session: session.provider == "openai"),
    "model": ({"model": OPUS}, lambda session: OPUS in session.models),
    "hostile-model": ({"model": hostile.MODEL}, lambda session: hostile.MODEL in session.models),
    "long-model": ({"model": hostile.WORD}, lambda session: hostile.WORD in session.models),
    "text": ({"text": "question 3 OF"}, lambda session: "Question 3 of twelve" in session.prompts),
    "hostile-text": ({"text": hostile.SCRIPT}, lambda session: hostile.SCRIPT in session.prompts[0]),
    "earlier-text": (
        {"text": "asked of claude-haiku"},
        lambda session: session.prompts[0].startswith("Asked of claude-h"),
    ),
    "no-pattern": ({"text": "%"}, lambda session: False),
    "all-at-once": (
        {"person": "olivia", "client": "Codex", "provider": "openai", "model": GPT, "text": "asked"},
        lambda session: (
            session.person == "olivia" and session.client == "Codex" and session.prompts[0].startswith("Asked")
        ),
    ),
    "nothing": ({"person": LONG, "model": OPUS}, lambda session: False),
}


def all_prompts(browser):
    """Of this page and those behind it."""
    shown = browser.texts(PROMPTS)
    while browser.has("[rel='next']"):
        browser.press("[rel='next']")
        shown += browser.texts(PROMPTS)
    return shown


@pytest.mark.one_look
@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_it_says(browser, scene, name):
    fields, condition = FILTERS[name]
    browser.go(LIST)
    browser.fill(**fields)
    browser.press("Show")
    expected = scene.listed(lambda session: session.ago <= USUAL and condition(session))
    assert all_prompts(browser) == expected
    assert browser.has(".empty") == (not expected)
    for field, text in fields.items():
        assert browser.find(f"#{field}").get_property("value") == text, "what is asked for stays there"
    browser.press("Clear")
    assert browser.address == LIST


@pytest.mark.one_look
@pytest.mark.parametrize(("since", "until"), [(5, 2), (2, 2), (100, 40), (None, 90), (400, None)])
def test_a_time_is_chosen(browser, scene, since, until):
    browser.go(LIST)
    browser.date(**{"from": "" if since is None else day(since), "until": "" if until is None else day(until)})
    browser.press("Show")
    expected = scene.listed(lambda session: (until or 0) <= session.ago <= (since or 1000))
    assert expected and all_prompts(browser) == expected


def test_there_are_pages(browser, scene):
    browser.go(LIST)
    first = browser.texts(PROMPTS)
    assert len(first) == 20 and not browser.has("[data-live-switch][hidden]")
    browser.press("[rel='next']")
    browser.look("ai-sessions-older")
    assert not browser.has("[data-live-switch]"), "what is old does not change"
    assert first + all_prompts(browser) == scene.listed(lambda session: session.ago <= USUAL)
    browser.press("Newest")
    assert browser.texts(PROMPTS) == first


def refresh(browser):
    """As it is when somebody comes back to the window; the timer takes longer."""
    browser.script("dispatchEvent(new Event('visibilitychange'))")


def test_a_new_session_comes_by_itself(browser, scene, look):
    browser.go(LIST)
    browser.fill(text="half a wo")
    browser.script("scrollTo(0, 200)")
    place = browser.script("return scrollY")
    browser.script("document.documentElement.dataset.isOld = ''")
    prompt = f"Just now, in {look[0]}"
    scene.ask("alice", CLAUDE_CODE, OPUS, prompt)
    # The timer itself is waited for in one look only.
    if look != LOOKS[0]:
        refresh(browser)
    processes.wait_for(lambda: browser.texts(PROMPTS)[0] == prompt, "the new session")
    kept = """
        const {id, value} = document.activeElement;
        return [id, value, scrollY, "isOld" in document.documentElement.dataset];
    """
    assert browser.script(kept) == ["text", "half a wo", place, True]
    assert len(browser.texts(PROMPTS)) == 20

    link = browser.find(f"{PROMPTS}[href]")
    address = link.get_attribute("href")
    browser.script("arguments[0].focus()", link)
    scene.ask("alice", CLAUDE_CODE, OPUS, f"{prompt}, again")
    refresh(browser)
    browser.driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert browser.script("return document.activeElement.href") == address, "it is not taken from under the fingers"
    browser.script("document.activeElement.blur()")
    refresh(browser)
    processes.wait_for(lambda: browser.texts(PROMPTS)[0] == f"{prompt}, again", "the next new session")

    browser.button("Live updates").click()
    scene.ask("alice", CLAUDE_CODE, OPUS, f"{prompt}, unseen")
    refresh(browser)
    browser.driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert browser.texts(PROMPTS)[0] == f"{prompt}, again"
    browser.button("Live updates").click()
    processes.wait_for(lambda: browser.texts(PROMPTS)[0] == f"{prompt}, unseen", "what was missed")
    browser.require_quiet("live updates")


def test_what_runs_is_told(browser, scene):
    client = scene.client("alice", CODEX, "it-runs")
    held = client.hold(GPT, "Take your time")
    session = Session("alice", CODEX, {GPT}, ["Take your time"], requests=2)
    scene.sessions.append(session)
    browser.go(f"{LIST}?client=Codex&person=alice&text=take+your")
    assert browser.texts(f"{PROMPTS}, #live .tag") == ["Take your time", "Running"]
    address = browser.address
    browser.press(PROMPTS)
    assert browser.texts(".facts .tag, .step .tag") == ["Running", "Running"]
    browser.look("ai-session-running")
    # Not back: what had the focus there would have it again.
    browser.go(address)
    held.close()
    client.ask(GPT, "Enough")
    session.prompts.append("Enough")

    def has_ended():
        # By hand: a list that was searched for a text is not renewed by itself.
        browser.go(address)
        return browser.texts(f"{PROMPTS}, #live .tag") == ["Enough"]

    processes.wait_for(has_ended, "the end of what ran")


@pytest.mark.one_look
def test_what_is_filtered_is_taken_along(browser, scene, tmp_path):
    browser.go(LIST)
    browser.fill(client="Codex", person="olivia")
    browser.press("Show")
    sessions = scene.matching(
        lambda session: session.client == "Codex" and session.person == "olivia" and session.ago <= USUAL
    )
    requests = sum(session.requests for session in sessions)
    assert requests > len(sessions) > 5

    def export(label):
        browser.find("details.menu summary").click()
        text = browser.download(browser.button(label), tmp_path)
        browser.find("details.menu summary").click()
        return text

    table = list(csv.DictReader(export("Sessions, CSV").splitlines()))
    assert [row["last_prompt"] for row in table] == [session.prompts[-1] for session in sessions]
    assert {row["client"] for row in table} == {"Codex"} and {row["initiator_username"] for row in table} == {"olivia"}
    lines = [json.loads(line) for line in export("Sessions, JSON lines").splitlines()]
    assert [(row["id"], row["last_prompt"]) for row in lines] == [(row["id"], row["last_prompt"]) for row in table]
    table = list(csv.DictReader(export("Requests, CSV").splitlines()))
    assert len(table) == requests and {row["model"] for row in table} == {GPT}
    lines = [json.loads(line) for line in export("Requests, JSON lines").splitlines()]
    assert [row["id"] for row in lines] == [row["id"] for row in table]
    browser.require_quiet("exports")


def test_a_spreadsheet_is_given_no_formula(browser, tmp_path):
    browser.go(f"{LIST}?person={LONG}")
    browser.find("details.menu summary").click()
    left, right = browser.script(
        "const {left, right} = document.querySelector('.menu-list').getBoundingClientRect(); return [left, right]"
    )
    assert 0 <= left and right <= browser.width, "the menu is within the window"
    browser.look("ai-sessions-export")
    table = list(csv.DictReader(browser.download(browser.button("Sessions, CSV"), tmp_path).splitlines()))
    assert [row["last_prompt"] for row in table][0] == f"'{hostile.FORMULA}"
