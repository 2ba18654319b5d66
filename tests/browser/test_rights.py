"""What a member sees of what was recorded: their own; and what is left of a dashboard when the right to it is gone."""

import csv

import processes
import pytest
from gateway import PASSWORD
from test_ai_sessions import all_prompts

ALICE = "alice@example.com"


@pytest.fixture
def member(browser):
    """The browser of Alice's, who has no role."""
    browser.driver.delete_all_cookies()
    browser.go("/login")
    browser.sign_in(ALICE, PASSWORD)
    yield browser
    browser.driver.delete_all_cookies()


def test_members_see_their_own(member, scene, tmp_path):
    member.go("/ai-gateway/sessions?from=")
    assert not member.has("#person") and "Person" not in member.texts("th")
    member.look("member-ai-sessions")
    own = scene.matching(lambda session: session.person == "alice")
    member.find("details.menu summary").click()
    table = list(csv.DictReader(member.download(member.button("Sessions, CSV"), tmp_path).splitlines()))
    assert {row["initiator_username"] for row in table} == {"alice"} and len(table) == len(own)
    member.go("/ai-gateway/sessions?from=")
    assert all_prompts(member) == scene.listed(lambda session: session.person == "alice")
    member.go("/ai-gateway/sessions?from=&person=olivia")
    assert all_prompts(member) == []
    member.go("/ai-gateway/usage")
    assert not member.has("#person") and "Top people" not in member.text
    member.look("member-usage")
    member.go("/ai-gateway/sessions/{worked_session}".format_map(scene.ids))
    assert member.heading == "Session of alice with Claude Code"


@pytest.mark.one_look
@pytest.mark.parametrize(
    "address",
    [
        "/ai-gateway/sessions/{threads_session}",
        "/ai-gateway/sessions/{worked_session}?thread={threads_request}",
        "/ai-gateway/interceptions/{threads_request}",
        "/ai-gateway/interceptions/{threads_request}/all.json",
        "/ai-gateway/interceptions/{threads_request}/text/prompt",
        "/ai-gateway/providers",
        "/audit",
        "/users",
        "/users/{owner}",
    ],
)
def test_what_one_may_not_see_is_not_there(member, ids, address):
    member.go(address.format_map(ids))
    assert member.find(".status-code").text == "404"
    assert "Question" not in member.text
    for place in ["/ai-gateway/providers", "/audit", "/users"]:
        assert not member.driver.find_elements("css selector", f"a[href='{place}']")


@pytest.mark.one_look
def test_who_is_suspended_is_out_at_the_next_click(member, gateway):
    owner = gateway.session()
    member.go("/ai-gateway/sessions")
    assert gateway.call("PUT", "/users/alice/status/suspend", owner)[0] == 200
    try:
        with member.next_page("the way out"):
            member.find("#live a.prompt").click()
        assert member.address.startswith("/login?next=%2Fai-gateway%2Fsessions%2F")
        assert "timeline" not in member.text and not member.has(".step")
    finally:
        assert gateway.call("PUT", "/users/alice/status/activate", owner)[0] == 200


@pytest.mark.one_look
@pytest.mark.parametrize("way", ["click", "live"])
def test_a_session_that_was_removed_is_out(member, gateway, way):
    session = member.session()
    member.go("/ai-gateway/sessions")
    assert gateway.call("DELETE", f"/users/me/keys/{session.split('_')[1]}", session)[0] == 204
    if way == "click":
        member.press("#live a.prompt")
    else:
        member.script("dispatchEvent(new Event('visibilitychange'))")
        processes.wait_for(lambda: member.address.startswith("/login"), "the way out by itself")
    assert member.address.startswith("/login?next=%2Fai-gateway%2Fsessions")
