"""`coder login` through the browser: carried to a port of this machine, or pasted."""

import fcntl
import os
import pty
import re
import subprocess
import termios

import processes


def test_the_browser_carries_a_code(browser, gateway, tmp_path):
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with gateway.coder(tmp_path, "login", gateway.url, "--web", "--no-open", **options) as coder:
        try:
            browser.go(address(coder.stderr))
            browser.look("cli-auth-port")
            browser.press("Sign it in")
            processes.wait_for(lambda: browser.address == "/cli-auth/done", "the way back")
            assert coder.wait(processes.PATIENCE) == 0, coder.stderr.read()
        finally:
            coder.kill()
    assert "olivia" in whoami(gateway, tmp_path)


def test_a_token_is_pasted(browser, gateway, tmp_path):
    browser.go("/cli-auth")
    browser.press("Show a token to paste")
    browser.look("cli-auth-token")
    token = browser.find("#token").text
    ours, its = pty.openpty()
    options = {"stdin": its, "stdout": its, "stderr": its, "start_new_session": True, "preexec_fn": own_terminal}
    with gateway.coder(tmp_path, "login", gateway.url, "--no-open", **options) as coder:
        try:
            os.close(its)
            terminal = Terminal(ours)
            terminal.wait_for("Press Enter")
            terminal.type("\n")
            terminal.wait_for("Token")
            terminal.type(f"{token}\n")
            assert coder.wait(processes.PATIENCE) == 0, terminal.shown
        finally:
            coder.kill()
            os.close(ours)
    assert token not in terminal.shown
    assert "olivia" in whoami(gateway, tmp_path)


def own_terminal():
    """Makes standard input the terminal of this process, so that it may hide what is typed."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Terminal:
    """What somebody sees who uses the command line."""

    def __init__(self, descriptor):
        self.descriptor = descriptor
        self.shown = ""

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def wait_for(self, text):
        while text not in self.shown:
            try:
                self.shown += os.read(self.descriptor, 4096).decode(errors="replace")
            except OSError as error:
                raise AssertionError(f"waited in vain for {text!r} after {self.shown!r}") from error


def address(lines):
    """The page to open, which the command line names."""
    for line in lines:
        found = re.search(r"http\S+/cli-auth\S*", line)
        if found:
            return found.group(0)
    raise AssertionError("no address was printed")


def whoami(gateway, home):
    with gateway.coder(home, "whoami", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as coder:
        return coder.communicate(timeout=processes.PATIENCE)[0]
