"""The programs under test, as processes: the simulated provider and the gateway, and the command line beside them."""

import base64
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

# How long something may take that normally takes far less than a second.
PATIENCE = 30.0

CENTRAL_ANTHROPIC = "sk-ant-api03-central-key-of-the-organisation"
CENTRAL_OPENAI = "sk-proj-central-key-of-the-organisation"
PERSONAL_ANTHROPIC = "sk-ant-api03-personal-key-of-a-user"
PERSONAL_OPENAI = "sk-proj-personal-key-of-a-user"

OWNER = "olivia"
EMAIL = "olivia@example.com"
PASSWORD = "four unlikely words together"


def program(variable):
    """The path of a built program, which only the caller of the tests knows."""
    path = os.environ.get(variable)
    if not path:
        raise RuntimeError(f"{variable} is not set; run `cargo xtask test sdk`")
    return path


def wait_for(condition, what):
    """Waits until `condition()` gives something true, and returns that."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url):
    """Status and body of a GET, whatever the status; `None` when nothing answers."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except (urllib.error.URLError, ConnectionError):
        return None


class Process:
    """A program that runs in the background; what it prints is kept in a file."""

    def __init__(self, name, arguments, environment, folder):
        self.name = name
        self.log = folder / f"{name}.log"
        # Nothing of the caller's environment: neither options of the gateway nor proxies may leak in.
        clean = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                arguments, env=clean, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    def printed(self):
        return self.log.read_text(errors="replace")

    def require_running(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.printed()}")

    def stop(self):
        """Asks it to end, and insists that it does so in order."""
        self.require_running()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end when asked to:\n{self.printed()}") from None
        assert code == 0, f"{self.name} ended with {code}:\n{self.printed()}"

    def kill(self):
        """Ends it however it is, for when something else has failed before."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Received:
    """One request as the simulated provider got it."""

    def __init__(self, record):
        self.method = record["method"]
        self.path = record["path"]
        self.query = record["query"] or ""
        self.headers = record["headers"]
        self.body = base64.b64decode(record["body_base64"])

    def values(self, name):
        return [value for known, value in self.headers if known == name]

    def credentials(self):
        """Every credential in it, each with the header that carries it."""
        names = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "proxy-authorization")
        return [(name, value) for name in names for value in self.values(name)]


class Sim(Process):
    """The simulated provider."""

    def __init__(self, folder):
        keys = (CENTRAL_ANTHROPIC, CENTRAL_OPENAI, PERSONAL_ANTHROPIC, PERSONAL_OPENAI)
        arguments = [program("LLM_SIM_BIN"), "--listen", "127.0.0.1:0"]
        for key in keys:
            arguments += ["--accept-key", key]
        super().__init__("llm-sim", arguments, {}, folder)
        self.url = wait_for(self._address, "the address of llm-sim")

    def _address(self):
        self.require_running()
        found = re.match(r"(http://\S+)\n", self.printed())
        return found and found.group(1)

    def requests(self):
        status, body = get(f"{self.url}/_sim/requests")
        assert status == 200
        return [Received(record) for record in json.loads(body)]

    def request(self):
        """The one request that it got."""
        (received,) = self.requests()
        return received

    def forget(self):
        self._send("DELETE", "requests")

    def open_gate(self, name):
        self._send("POST", f"gates/{name}")

    def _send(self, method, path):
        request = urllib.request.Request(f"{self.url}/_sim/{path}", method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200
            answer.read()


class Gateway(Process):
    """`coder server` on SQLite, with the owner logged in on its command line."""

    def __init__(self, name, sim, folder, **options):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.names = 0
        environment = {
            "CODER_CONFIG_DIR": str(folder / "server"),
            "CODER_HTTP_ADDRESS": f"127.0.0.1:{self.port}",
            "CODER_AIBRIDGE_ANTHROPIC_KEY": CENTRAL_ANTHROPIC,
            "CODER_AIBRIDGE_ANTHROPIC_BASE_URL": sim.url,
            "CODER_AIBRIDGE_OPENAI_KEY": CENTRAL_OPENAI,
            "CODER_AIBRIDGE_OPENAI_BASE_URL": f"{sim.url}/v1",
            **options,
        }
        super().__init__(name, [program("CODER_BIN"), "server"], environment, folder)
        wait_for(self._healthy, f"{name} to answer")
        self.cli(
            "login",
            self.url,
            CODER_FIRST_USER_USERNAME=OWNER,
            CODER_FIRST_USER_EMAIL=EMAIL,
            CODER_FIRST_USER_PASSWORD=PASSWORD,
        )

    def _healthy(self):
        self.require_running()
        answer = get(f"{self.url}/healthz")
        return answer and answer[0] == 200

    def cli(self, *arguments, **environment):
        """Runs a command as the owner and returns what it printed."""
        clean = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "CODER_CONFIG_DIR": str(self.folder / "cli"),
            **environment,
        }
        done = subprocess.run(
            [program("CODER_BIN"), *arguments],
            env=clean,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"coder {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def make_token(self, *options, lifetime="1h"):
        """A new token of the owner, with its name."""
        self.names += 1
        name = f"token-{self.names}"
        token = self.cli("tokens", "create", "--lifetime", lifetime, "-n", name, *options).strip()
        assert re.fullmatch(r"cdr_[0-9A-Za-z]{10}_[0-9A-Za-z]{28}", token), "not the form of a token"
        return Token(self, name, token)

    def provider(self, name, port=None):
        """The base URL of a provider, through another port if one is given."""
        return f"http://127.0.0.1:{port or self.port}/api/v2/aibridge/{name}"


class Token:
    """A token with its name."""

    def __init__(self, gateway, name, text):
        self.gateway = gateway
        self.name = name
        self.text = text

    def remove(self):
        self.gateway.cli("tokens", "rm", self.name)
