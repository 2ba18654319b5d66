"""One headless Chromium, in one look: light or dark, narrow or wide."""

import base64
import contextlib
import os
import pathlib

import processes
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

# What is checked with axe: WCAG 2.2 AA and what is good practice besides.
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

BUTTON = """
return [...document.querySelectorAll("main a, main button, nav a, nav button")]
  .find((button) => button.checkVisibility() && button.innerText.split("\\n")[0].trim() === arguments[0]);
"""

AXE = """
const done = arguments[1];
axe.run(document, {runOnly: arguments[0]}).then(({violations}) => done(violations.map(({id, impact, nodes}) =>
  ({id, impact, nodes: nodes.slice(0, 3).map(({html, failureSummary}) => [html.slice(0, 200), failureSummary])}))));
"""


class Browser:
    def __init__(self, theme, width, base, screens):
        self.theme, self.width, self.height = theme, width, 780 if width < 500 else 1000
        self.base = base
        self.screens = screens
        self.axe = pathlib.Path(processes.program("AXE_JS")).read_text()
        options = webdriver.ChromeOptions()
        options.binary_location = processes.program("CHROMIUM_BIN")
        for argument in ["headless=new", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars", "lang=en-US"]:
            options.add_argument(f"--{argument}")
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, Service(processes.program("CHROMEDRIVER_BIN")))
        media = [{"name": "prefers-color-scheme", "value": theme}]
        self.cdp("Emulation.setEmulatedMedia", features=media)
        self.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self._resize(self.height)

    def cdp(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def _resize(self, height):
        is_narrow = self.width < 500
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=self.width,
            height=height,
            deviceScaleFactor=1,
            mobile=is_narrow,
        )

    def quit(self):
        self.driver.quit()

    @contextlib.contextmanager
    def without_script(self):
        self.cdp("Emulation.setScriptExecutionDisabled", value=True)
        try:
            yield
        finally:
            self.cdp("Emulation.setScriptExecutionDisabled", value=False)

    @contextlib.contextmanager
    def as_visitor(self):
        """Without the cookies, which are there again afterwards."""
        cookies = self.driver.get_cookies()
        self.driver.delete_all_cookies()
        try:
            yield
        finally:
            for cookie in cookies:
                self.driver.add_cookie(cookie)

    # What a person does.

    def go(self, address):
        self.driver.get(address if address.startswith("http") else self.base + address)

    def find(self, css):
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def has(self, css):
        return any(element.is_displayed() for element in self.driver.find_elements(By.CSS_SELECTOR, css))

    def texts(self, css):
        """What is written in each, as it is in the page."""
        return self.script(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent.trim())", css
        )

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def fill(self, **fields):
        """Types into fields, which are named by their ids."""
        for name, text in fields.items():
            field = self.find(f"#{name}")
            field.clear()
            field.send_keys(text)

    def date(self, **fields):
        """Chooses days, which a person types as their country does."""
        for name, day in fields.items():
            self.script("arguments[0].value = arguments[1]", self.find(f"#{name}"), day)

    def choose(self, **fields):
        """Chooses one of several, by name and value."""
        for name, value in fields.items():
            self.find(f"[name='{name}'][value='{value}']").click()

    def press(self, what):
        """Presses what has this text or, with a leading `.`, `#` or `[`, this selector, and waits for the next page."""
        with self.next_page(f"the page after {what!r}"):
            self.button(what).click()

    @contextlib.contextmanager
    def next_page(self, what):
        """Waits until another page has taken the place of the one that is open."""
        self.driver.execute_script("document.documentElement.dataset.isOld = ''")
        yield
        processes.wait_for(self._is_new, what)

    def _is_new(self):
        try:
            return self.driver.execute_script(
                "return document.readyState === 'complete' && !('isOld' in document.documentElement.dataset)"
            )
        except WebDriverException:
            # Between the two.
            return False

    def button(self, what):
        if what[0] in ".#[":
            return self.find(what)
        found = self.driver.execute_script(BUTTON, what)
        assert found, f"no {what!r} on {self.address}"
        return found

    def open_menu(self):
        """The navigation, which is behind a button where it does not fit."""
        if self.has(".menu-button"):
            self.find(".menu-button").click()

    def sign_in(self, email, password):
        self.fill(email=email, password=password)
        self.press("Sign in")

    def sign_out(self):
        self.open_menu()
        self.press("Sign out")

    # What it shows.

    @property
    def address(self):
        return self.driver.current_url.removeprefix(self.base)

    @property
    def heading(self):
        return self.find("h1").text

    @property
    def text(self):
        return self.find("main").text

    def session(self):
        return self.driver.get_cookie("coder_session")["value"]

    def look(self, name):
        """A picture of the page, and everything that must be so on any page."""
        self.picture(name)
        script = self.script
        # Not the window's own width: on a phone it grows with what does not fit.
        assert script("return document.documentElement.scrollWidth") <= self.width, f"{name} is wider than the window"
        loaded = script("return performance.getEntriesByType('resource').map(({name}) => name)")
        assert all(url.startswith(self.base) for url in loaded), f"{name} asks others: {loaded}"
        self.cdp("Runtime.evaluate", expression=self.axe)
        found = self.driver.execute_async_script(AXE, RULES)
        bad = [finding for finding in found if finding["impact"] in ("serious", "critical")]
        assert not bad, f"{name}: {bad}"
        self.require_quiet(name)

    def require_quiet(self, name):
        """A page with an error status is logged as one; whatever else is there is a broken policy or script."""
        logged = [entry["message"] for entry in self.driver.get_log("browser")]
        broken = [message for message in logged if "the server responded with a status of" not in message]
        assert not broken, f"{name}: {broken}"

    def download(self, link, folder):
        """Presses a link to a file, and waits for it."""
        self.cdp("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        file = folder / link.get_attribute("href").split("?")[0].rsplit("/", 1)[-1]
        link.click()
        # Until it is whole it has another name.
        processes.wait_for(file.exists, file.name)
        return file.read_text(encoding="utf-8")

    def picture(self, name):
        """Of the whole page."""
        height = self.driver.execute_script("return document.documentElement.scrollHeight")
        self._resize(max(height, self.height))
        picture = self.cdp("Page.captureScreenshot", format="png")["data"]
        self._resize(self.height)
        file = self.screens / f"{self.theme}-{self.width}" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(picture))
