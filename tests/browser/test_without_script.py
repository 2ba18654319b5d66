"""The main tasks in a browser that runs no script."""

import pytest
from gateway import EMAIL, PASSWORD


@pytest.fixture
def plain(browser):
    with browser.without_script():
        # What is open still has its script.
        browser.go("/settings/tokens")
        yield browser


def test_signing_in_and_out(plain):
    plain.sign_out()
    assert plain.address == "/login?signed_out=1"
    plain.go("/users")
    plain.sign_in(EMAIL, PASSWORD)
    assert plain.address == "/users"


def test_a_token_is_made_and_deleted(plain, gateway):
    plain.press("New token")
    plain.fill(name="plain")
    plain.press("Create token")
    token = plain.find("#secret").text
    assert not plain.has("[data-copy]"), "a button that would do nothing"
    plain.picture("token-created-without-script")
    plain.press("Done")
    plain.press(f".row-actions a[href*='{token.split('_')[1]}']")
    plain.press("Delete token")
    assert not gateway.accepts(token)


def test_sessions_end_at_once(plain, gateway):
    other = gateway.session()
    plain.go("/settings/sessions")
    plain.press("Sign out everywhere")
    assert plain.address == "/login?signed_out=1"
    assert not gateway.accepts(other)


def test_people_are_managed(plain, gateway):
    plain.go("/users/new")
    plain.fill(username="dora", email="dora@example.com")
    plain.press("Create")
    password = plain.find("#new-password").text
    session = gateway.session("dora@example.com", password)
    plain.press("Done")
    plain.press("Suspend")
    plain.press("Suspend")
    assert not gateway.accepts(session)
    plain.press("Activate")
    assert gateway.accepts(session)
    plain.press("Delete")
    plain.fill(confirmation="dora")
    plain.press("Delete account")
    assert plain.has(".notice.good")
    assert not gateway.accepts(session)


def test_a_command_line_is_signed_in(plain, gateway):
    plain.go("/cli-auth")
    plain.press("Show a token to paste")
    assert gateway.accepts(plain.find("#token").text)


@pytest.mark.one_look
def test_sessions_are_read(plain, scene):
    plain.go("/ai-gateway/sessions")
    assert not plain.has("[data-live-switch]"), "a button that would do nothing"
    plain.picture("ai-sessions-without-script")
    plain.fill(person="alice", text="the parser")
    plain.press("Show")
    plain.press("#live a.prompt")
    assert plain.address == "/ai-gateway/sessions/{worked_session}".format_map(scene.ids)
    plain.find(".step summary").click()
    assert "cargo test" in plain.text, "arguments open without a script"
    plain.press(".step-facts a")
    assert plain.heading.startswith("Request to claude-opus-4-5")
    plain.go("/ai-gateway/sessions")
    plain.press("[rel='next']")
    assert plain.has("a.prompt")
    plain.find("details.menu summary").click()
    assert plain.find("details.menu a[href*='/export/']").is_displayed()


@pytest.mark.one_look
def test_usage_is_read(plain):
    plain.go("/ai-gateway/usage")
    plain.press("week")
    plain.find("details.part summary").click()
    assert plain.has("details.part table") and plain.has("svg.chart")
    plain.press("[scope='row'] a")
    assert plain.address.startswith("/ai-gateway/sessions?from=")
