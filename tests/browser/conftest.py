"""What the tests share: for each look a gateway of its own with what it has recorded, and one browser, signed in as the
owner."""

import pathlib
import zlib

import gateway as gateways
import processes
import pytest
import scene as scenes
from browser import Browser
from gateway import EMAIL, OWNER, PASSWORD, SETUP_CODE
from xdist.scheduler import LoadScopeScheduling

LOOKS = [("light", 360), ("dark", 360), ("light", 1600), ("dark", 1600)]


class ByLook(LoadScopeScheduling):
    """The tests of one look run one after the other in one process, those of different looks side by side."""

    def _split_scope(self, nodeid):
        return next(name for name in map(name_of, LOOKS) if f"[{name}" in nodeid)


def pytest_xdist_make_scheduler(config, log):
    return ByLook(config, log)


def name_of(look):
    return f"{look[0]}-{look[1]}"


def pytest_collection_modifyitems(items):
    """What does not depend on the look is tested in one only; which one, its name decides."""
    items[:] = [item for item in items if not item.get_closest_marker("one_look") or is_its_look(item)]


def is_its_look(item):
    name = item.nodeid
    for look in LOOKS:
        name = name.replace(name_of(look), "")
    own = LOOKS[zlib.crc32(name.encode()) % len(LOOKS)]
    return item.callspec.params["look"] == own


@pytest.fixture(scope="session", params=LOOKS, ids=name_of)
def look(request):
    return request.param


def run(process):
    try:
        yield process
        process.stop()
    finally:
        process.kill()


@pytest.fixture(scope="session")
def sim(tmp_path_factory):
    yield from run(processes.Sim(tmp_path_factory.mktemp("sim")))


@pytest.fixture(scope="session")
def gateway(look, sim, tmp_path_factory):
    yield from run(gateways.Gateway("gateway", sim, tmp_path_factory.mktemp("gateway")))


@pytest.fixture(scope="session")
def set_up(look, gateway):
    """The browser, and what is there. The first owner is made in it, as everywhere."""
    theme, width = look
    browser = Browser(theme, width, gateway.url, pathlib.Path(processes.program("SCREENS")))
    try:
        make_owner(browser)
        yield browser, scenes.prepare(gateway, browser.session())
    finally:
        browser.quit()


def make_owner(browser):
    browser.go("/")
    assert browser.address == "/setup"
    browser.look("setup")
    browser.fill(username=OWNER, email=EMAIL, password="password")
    if browser.has("#setup_code"):
        browser.fill(setup_code=SETUP_CODE)
    browser.press("Make the owner")
    assert browser.has("#password-fault")
    browser.look("setup-fault")
    browser.fill(password=PASSWORD)
    browser.press("Make the owner")
    assert browser.address == "/settings/tokens"
    browser.look("tokens-none")


@pytest.fixture(scope="session")
def scene(set_up):
    return set_up[1]


@pytest.fixture(scope="session")
def ids(scene):
    return scene.ids


@pytest.fixture
def browser(set_up):
    """Signed in as the owner, whatever the test before has done."""
    browser = set_up[0]
    browser.go("/settings/tokens")
    if browser.address.startswith("/login"):
        browser.sign_in(EMAIL, PASSWORD)
    assert browser.address == "/settings/tokens"
    return browser
