"""What was written by others is text on every page that shows it, and nothing else."""

import hostile
import pytest
from asking import CODEX
from gateway import PASSWORD
from scene import LONG

# Where which texts are.
SHOWN = {
    "list": ("/ai-gateway/sessions", [hostile.SCRIPT, hostile.IMAGE, hostile.MODEL, hostile.FORMULA]),
    "session": (
        "/ai-gateway/sessions/{evil_session}",
        [
            hostile.SCRIPT,
            hostile.IMAGE,
            hostile.MODEL,
            hostile.TOOL,
            hostile.BENT,
            hostile.RIGHT_TO_LEFT,
            hostile.EMOJI,
        ],
    ),
    "thread": ("/ai-gateway/sessions/{evil_session}?thread={evil_request}", [hostile.SCRIPT, hostile.MODEL]),
    "request": (
        "/ai-gateway/interceptions/{evil_request}",
        [hostile.SCRIPT, hostile.IMAGE, hostile.MODEL, hostile.TOOL, hostile.VERSION, hostile.WORD],
    ),
    "usage": ("/ai-gateway/usage?person=alice", [hostile.MODEL]),
    "providers": ("/ai-gateway/providers", ["<script>window.hostile"]),
    "audit": (f"/audit?target={LONG}", [hostile.IMAGE]),
    "people": ("/users?q=" + LONG, [hostile.IMAGE]),
    "person": (f"/users/{{{LONG}}}", [hostile.IMAGE, hostile.MODEL]),
    "filtered": ("/ai-gateway/sessions?text=%3Cscript%3Ewindow.hostile", [hostile.SCRIPT]),
}


# Whether what stands behind the name of a model in a line is there still.
IN_ORDER = """
const middle = ({top, bottom}) => (top + bottom) / 2;
return [...document.querySelectorAll(".step-head")].map((head) => {
  const tag = head.querySelector(".tag").getBoundingClientRect();
  const name = [...head.querySelector("b").getClientRects()].filter((part) => Math.abs(middle(part) - middle(tag)) < 8);
  return name.every((part) => part.right <= tag.left + 1);
});
"""


def require_harmless(browser, name, texts):
    written = browser.script("return document.documentElement.textContent")
    for text in texts:
        assert text in written, f"{name} does not show {text!r}"
    assert browser.script("return window.hostile ?? document.title") != 1, f"{name}: a script has run"
    assert "hostile" not in browser.driver.title
    made = "main :is(script, img, iframe, object, embed), main [onerror], main [onload], main [onclick]"
    assert browser.texts(made) == [], name
    browser.require_quiet(name)


@pytest.mark.one_look
@pytest.mark.parametrize("name", SHOWN)
def test_a_text_stays_one(browser, ids, name):
    address, texts = SHOWN[name]
    browser.go(address.format_map(ids))
    require_harmless(browser, name, texts)
    for summary in browser.driver.find_elements("css selector", "main .step summary"):
        summary.click()
    require_harmless(browser, name, texts)


@pytest.mark.one_look
def test_neither_does_a_filter_run(browser):
    for text in [hostile.SCRIPT, hostile.IMAGE]:
        browser.go("/ai-gateway/sessions")
        browser.fill(client=text, model=text, provider=text, person=text, text=text)
        browser.press("Show")
        require_harmless(browser, "a filter", [])
        assert browser.find("#text").get_property("value") == text
    browser.look("ai-sessions-hostile-filter")


@pytest.mark.one_look
def test_nor_what_comes_live(browser, scene):
    browser.go("/ai-gateway/sessions?client=Codex")
    scene.ask("alice", CODEX, hostile.MODEL, f"{hostile.IMAGE}{hostile.SCRIPT} live")
    browser.script("dispatchEvent(new Event('visibilitychange'))")
    browser.driver.execute_async_script("setTimeout(arguments[0], 500)")
    require_harmless(browser, "the live list", [f"{hostile.IMAGE}{hostile.SCRIPT} live"])


@pytest.mark.one_look
def test_nor_the_client_of_a_session(browser, gateway):
    session = gateway.session(password=PASSWORD, **{"User-Agent": f"{hostile.SCRIPT}{hostile.IMAGE}"})
    for address in ["/settings/sessions", f"/settings/sessions/{session.split('_')[1]}/end"]:
        browser.go(address)
        require_harmless(browser, address, ["<script>window.hostile=1"])
    browser.look("session-end-hostile")


def test_a_text_does_not_turn_the_line_round(browser, ids):
    browser.go("/ai-gateway/sessions/{evil_session}".format_map(ids))
    assert hostile.BENT in browser.texts(".step-head b")
    assert browser.script(IN_ORDER) == [True] * 3
