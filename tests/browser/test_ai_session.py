"""One session as a timeline, and its requests by themselves."""

import hostile
import processes
import pytest
from scene import GPT, OPUS

SESSION = "/ai-gateway/sessions/{}"
REQUEST = "/ai-gateway/interceptions/{}"

# What must be said of what went otherwise than it should.
ENDS = {
    "too_many": ["Provider error", "rate_limit_error: "],
    "overloaded": ["Provider error", "overloaded_error: Overloaded"],
    "cut": ["Provider broke off"],
    "left": ["Client went away"],
    "killed": ["Interrupted: server ended", "tokens not known"],
    "mended": ["Characters that cannot be stored were replaced."],
    "token_told": ["The body of the request held a token of this gateway."],
    "too_long": ["Incomplete: something in the answer could not be read"],
    "own_key": ["anthropic with the person's own credential sk-a"],
}


def test_a_timeline_tells_what_was_done(browser, ids):
    browser.go(SESSION.format(ids["worked_session"]))
    assert browser.heading == "Session of alice with Claude Code"
    facts = browser.find(".facts").text
    assert "2 threads, 6 requests" in facts and OPUS in facts and "5d7a3a4e-work" in facts
    assert browser.texts(".asked .said") == [
        "Thank you. Now run all tests.",
        "The test of the parser fails. Find out why, and mend it.",
    ]
    assert browser.texts(".thread-head .hint") == ["To anthropic with the organisation's key sk-a...tion"] * 2
    assert browser.texts(".step-head b") == [OPUS, "claude-haiku-4-5"] + [OPUS] * 4
    first = browser.find(".thread:last-of-type .step:first-child")
    assert "18.2k from cache" in first.text and " ms" in first.text and "Completed" in first.text
    assert browser.texts(".thread:last-of-type .step:first-child summary") == [
        "Reasoning",
        "Tool Read",
        "Tool Edit",
        "Tool shell",
    ]
    parts = browser.script("return [...document.querySelectorAll('.thread:last-of-type .step:first-child .said')]")
    assert not any(part.is_displayed() for part in parts)
    for part in browser.driver.find_elements("css selector", ".thread:last-of-type .step:first-child summary"):
        part.click()
    assert [part.is_displayed() for part in parts] == [True] * 4
    assert "The user wants" in parts[0].text
    assert '"path":"/srv/app/src/main.rs"' in parts[1].text and "let x = 2;" in parts[2].text
    assert "cargo test --workspace" in parts[3].text
    browser.look("ai-session-open")
    browser.press(".thread:last-of-type .step:first-child .step-facts a")
    assert browser.address == REQUEST.format(ids["worked_request"])
    facts = browser.find(".facts").text
    for fact in [
        "2.1.40",
        "anthropic (anthropic)",
        "the organisation's key sk-a...tion",
        "streamed",
        "200",
        "tool_use",
    ]:
        assert fact in facts, fact
    browser.press("The thread")
    assert browser.texts(".asked .said") == ["The test of the parser fails. Find out why, and mend it."]
    browser.press("The whole session")
    assert browser.address == SESSION.format(ids["worked_session"])


@pytest.mark.one_look
@pytest.mark.parametrize("name", ENDS)
def test_how_it_ended_is_told(browser, ids, name):
    for address in [SESSION.format(ids[f"{name}_session"]), REQUEST.format(ids[f"{name}_request"])]:
        browser.go(address)
        for text in ENDS[name]:
            # The page of a request has the credential among its facts.
            assert text.removeprefix("anthropic with ") in browser.text, (address, text)


def test_threads_have_pages(browser, ids):
    browser.go(SESSION.format(ids["threads_session"]))
    numbers = []
    while True:
        numbers += [int(text.split()[1]) for text in browser.texts(".asked .said")]
        if not browser.has("[rel='next']"):
            break
        browser.press("[rel='next']")
    assert numbers == list(range(12, 0, -1))
    browser.press("[rel='prev']")
    assert [int(text.split()[1]) for text in browser.texts(".asked .said")] == [7, 6, 5, 4, 3]
    assert browser.texts(".step-head b") == [GPT] * 5


def test_steps_have_pages(browser, ids):
    browser.go(SESSION.format(ids["length_session"]))
    assert "Steps 1 to 8 of 32" in browser.text
    browser.press("More steps")
    assert "Steps 9 to 32 of 32" in browser.text
    seen = len(browser.texts(".step"))
    browser.press("Earlier steps")
    assert seen == 24 and "Steps 1 to 25 of 32" in browser.text


@pytest.mark.one_look
def test_a_long_text_is_there_whole(browser, ids):
    browser.go(SESSION.format(ids["length_session"]))
    shown = browser.texts(".asked .said")[0]
    browser.find(".asked a").click()
    processes.wait_for(lambda: "/text/prompt" in browser.address, "the whole text")
    whole = browser.texts("pre")[0]
    assert whole.startswith(shown[:-1]) and len(whole) > 5000
    assert browser.script("return document.contentType") == "text/plain"


@pytest.mark.one_look
def test_a_record_is_taken_along(browser, ids, tmp_path):
    browser.go(REQUEST.format(ids["evil_request"]))
    link = browser.button("The record as JSON")
    browser.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    link.click()
    file = tmp_path / f"{ids['evil_request']}.json"
    processes.wait_for(file.exists, file.name)
    assert "<script>" in file.read_text(encoding="utf-8") and hostile.WORD in file.read_text(encoding="utf-8")
