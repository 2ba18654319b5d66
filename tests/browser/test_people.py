"""Somebody's way from being made to being deleted."""

from gateway import PASSWORD


def test_a_person_comes_and_goes(browser, gateway):
    browser.go("/users")
    browser.press("New person")
    browser.fill(username="alice", email="carol@example.com", name="Carol <i>Carter</i>")
    browser.press("Create")
    assert browser.has("#username-fault")
    browser.look("person-new-fault")
    browser.fill(username="carol")
    browser.choose(auditor="1")
    browser.press("Create")
    password = browser.find("#new-password").text
    browser.look("person-created")
    session = gateway.session("carol@example.com", password)
    assert session
    browser.press("Done")
    carol = browser.address
    assert "Carol <i>Carter</i>" in browser.text and "Auditor" in browser.text

    browser.choose(auditor="1")
    browser.press("Save roles")
    assert browser.has(".notice.good") and "Member" in browser.text

    browser.press("New token")
    browser.fill(name="for-carol")
    browser.press("Create token")
    token = browser.find("#secret").text
    browser.look("person-token-created")
    browser.press("Done")
    assert browser.address == carol and "for-carol" in browser.text

    session = gateway.session("carol@example.com", password)
    browser.press("Suspend")
    browser.press("Suspend")
    assert browser.has(".tag.bad")
    browser.look("person-suspended")
    assert gateway.session("carol@example.com", password) is None
    browser.press("Activate")
    assert browser.has(".notice.good") and not browser.has(".tag.bad")
    assert gateway.accepts(session)

    browser.press("Reset password")
    browser.choose(how="chosen", tokens="keep")
    browser.fill(password="password")
    browser.press("Reset password")
    assert browser.has("#password-fault")
    browser.look("person-password-fault")
    browser.fill(password=PASSWORD)
    browser.press("Reset password")
    assert browser.has(".notice.good")
    assert gateway.session("carol@example.com")
    assert not gateway.accepts(session)

    browser.press("Delete")
    assert "1 API token" in browser.text
    browser.fill(confirmation="karol")
    browser.press("Delete account")
    assert browser.has("#confirmation-fault")
    browser.look("person-delete-fault")
    browser.fill(confirmation="carol")
    browser.press("Delete account")
    assert browser.has(".notice.good") and "carol" not in browser.text
    browser.look("people-notice")
    assert gateway.session("carol@example.com") is None
    assert gateway.call("GET", f"/users/me/keys/{token.split('_')[1]}", browser.session())[0] == 404


def test_people_are_searched_for(browser):
    browser.go("/users")
    browser.fill(q="ALICE")
    browser.press("Search")
    rows = browser.driver.find_elements("css selector", "tbody tr")
    assert [row.find_element("css selector", "a.name").text for row in rows] == ["alice"]


def test_a_service_account_has_no_password(browser):
    browser.go("/users/new")
    assert browser.has("#email")
    browser.choose(kind="service")
    assert not browser.has("#email")
    browser.look("service-account-new")
    browser.fill(username="night-bot")
    browser.press("Create")
    assert browser.has(".notice.good") and "Service account" in browser.text
    assert "Reset password" not in browser.text
    browser.press("Delete")
    browser.fill(confirmation="night-bot")
    browser.press("Delete account")


def test_suspended_people_lose_the_dashboard(browser, gateway):
    browser.sign_out()
    browser.sign_in("alice@example.com", PASSWORD)
    assert browser.heading == "Tokens"
    browser.open_menu()
    assert not browser.has("a[href='/users']"), "what one may not see is not linked"
    browser.go("/users")
    assert browser.find(".status-code").text == "404"
    owner = gateway.session()
    assert gateway.call("PUT", "/users/alice/status/suspend", owner)[0] == 200
    browser.go("/settings/tokens")
    assert browser.address.startswith("/login?next=")
    browser.sign_in("alice@example.com", PASSWORD)
    assert "suspended" in browser.text
    assert gateway.call("PUT", "/users/alice/status/activate", owner)[0] == 200
