"""Coming and going, tokens, sessions, the password."""

from gateway import EMAIL, PASSWORD

ANOTHER = "another battery staple horse"


def test_a_wrong_password_is_told(browser):
    browser.sign_out()
    assert browser.address == "/login?signed_out=1"
    browser.sign_in(EMAIL, "not this one")
    assert browser.has("[role='alert']")
    browser.look("login-fault")
    assert browser.find("#email").get_property("value") == EMAIL
    browser.fill(password=PASSWORD)
    browser.press("Sign in")
    assert browser.heading == "Tokens"


def test_who_has_signed_out_is_out(browser, gateway):
    session = browser.session()
    browser.sign_out()
    assert not gateway.accepts(session)
    browser.driver.back()
    browser.go("/settings/sessions")
    assert browser.address == "/login?next=%2Fsettings%2Fsessions"


def test_an_ended_session_leads_back(browser, gateway):
    browser.go("/settings/tokens/new")
    session = browser.session()
    assert gateway.call("DELETE", f"/users/me/keys/{session.split('_')[1]}", session)[0] == 204
    browser.fill(name="lost")
    browser.press("Create token")
    assert browser.address == "/login?next=%2Fsettings%2Ftokens%2Fnew"
    browser.sign_in(EMAIL, PASSWORD)
    assert browser.address == "/settings/tokens/new"


def test_a_token_is_made_copied_and_deleted(browser, gateway):
    browser.press("New token")
    browser.fill(name="<b>made & deleted")
    browser.choose(lifetime="custom")
    browser.fill(custom_lifetime="a week")
    browser.press("Create token")
    assert browser.has("#lifetime-fault")
    browser.look("token-new-fault")
    browser.choose(lifetime="7", scope="all")
    browser.press("Create token")
    token = browser.find("#secret").text
    assert gateway.accepts(token)
    browser.look("token-created")
    copy = browser.find("[data-copy='secret']")
    copy.click()
    read = "navigator.clipboard.readText().then(arguments[0])"
    assert browser.driver.execute_async_script(read) == token
    browser.press("Done")
    assert "<b>made & deleted" in browser.text
    assert token not in browser.driver.page_source
    browser.press(f".row-actions a[href*='{token.split('_')[1]}']")
    assert "<b>made & deleted" in browser.text
    browser.press("Delete token")
    assert browser.has(".notice.good") and "<b>made & deleted" not in browser.text
    browser.look("tokens-notice")
    assert not gateway.accepts(token)


def test_sessions_end(browser, gateway):
    other = gateway.session()
    browser.go("/settings/sessions")
    browser.press(f".row-actions a[href*='{other.split('_')[1]}']")
    browser.look("session-end")
    browser.press("End session")
    assert browser.has(".notice.good")
    assert not gateway.accepts(other)
    other, own = gateway.session(), browser.session()
    browser.button("Sign out everywhere").click()
    question = browser.driver.switch_to.alert
    question.dismiss()
    assert gateway.accepts(other), "not yet"
    with browser.next_page("having signed out"):
        browser.button("Sign out everywhere").click()
        browser.driver.switch_to.alert.accept()
    assert browser.address == "/login?signed_out=1"
    assert not gateway.accepts(other) and not gateway.accepts(own)


def test_a_password_is_changed(browser, gateway):
    other = gateway.session()
    browser.go("/settings/password")
    browser.fill(old_password="not this one", password=ANOTHER, password_again=ANOTHER)
    browser.press("Change password")
    assert browser.has("#old_password-fault")
    browser.look("password-fault")
    for old, new in [(PASSWORD, ANOTHER), (ANOTHER, PASSWORD)]:
        browser.go("/settings/password")
        browser.fill(old_password=old, password=new, password_again=new)
        browser.press("Change password")
        assert browser.has(".notice.good")
    browser.look("password-notice")
    assert not gateway.accepts(other)
    assert gateway.session(password=ANOTHER) is None
    assert gateway.session()


def test_light_and_dark_can_be_switched(browser, look):
    other = "dark" if look[0] == "light" else "light"
    browser.open_menu()
    browser.picture("menu")
    browser.find("[data-theme-switch]").click()
    theme = "return document.documentElement.dataset.theme"
    assert browser.driver.execute_script(theme) == other
    browser.go("/settings/sessions")
    assert browser.driver.execute_script(theme) == other, "it is kept"
    browser.open_menu()
    browser.find("[data-theme-switch]").click()
    assert browser.driver.execute_script(theme) == look[0]
    browser.driver.execute_script("localStorage.clear()")
