"""The gateway under test, and calls of its REST API beside the browser."""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request

import processes

SETUP_CODE = "the-set-up-code"
OWNER = "olivia"
EMAIL = "olivia@example.com"
PASSWORD = "four unlikely words together"


class Gateway(processes.Process):
    """`coder server` on SQLite, without any user; its providers are the simulated one, and its proxy is on."""

    def __init__(self, name, sim, folder):
        self.folder = folder
        self.url = f"http://127.0.0.1:{processes.free_port()}"
        self.database = folder / "server" / "coder.db"
        self.environment = {
            "CODER_CONFIG_DIR": str(folder / "server"),
            "CODER_HTTP_ADDRESS": self.address,
            "CODER_FIRST_USER_CODE": SETUP_CODE,
            "CODER_AIBRIDGE_ANTHROPIC_KEY": processes.CENTRAL_ANTHROPIC,
            "CODER_AIBRIDGE_ANTHROPIC_BASE_URL": sim.url,
            "CODER_AIBRIDGE_OPENAI_KEY": processes.CENTRAL_OPENAI,
            "CODER_AIBRIDGE_OPENAI_BASE_URL": f"{sim.url}/v1",
            # What was recorded is moved far into the past.
            "CODER_AIBRIDGE_RETENTION": "0",
            "CODER_AIBRIDGE_PROXY_ENABLED": "true",
            "CODER_AIBRIDGE_PROXY_LISTEN_ADDR": "127.0.0.1:0",
        }
        self._start(name)

    @property
    def address(self):
        return self.url.removeprefix("http://")

    def _start(self, name):
        super().__init__(name, [processes.program("CODER_BIN"), "server"], self.environment, self.folder)
        processes.wait_for(self._healthy, f"{name} to answer")

    @contextlib.contextmanager
    def killed(self):
        """Without the server, which is killed in the midst of what it does and comes back afterwards."""
        self.kill()
        yield
        self._start(f"{self.name}-again")

    def _healthy(self):
        self.require_running()
        answer = processes.get(f"{self.url}/healthz")
        return answer and answer[0] == 200

    def call(self, method, path, token=None, body=None, **more_headers):
        """Status and JSON of a call below /api/v2."""
        headers = {"Content-Type": "application/json"} | more_headers
        if token:
            headers["Coder-Session-Token"] = token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/api/v2{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=processes.PATIENCE) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            with error:
                return error.code, None

    def made(self, path, token, body):
        """What a call has made."""
        status, reply = self.call("POST", path, token, body)
        assert status == 201, (path, status)
        return reply

    def session(self, email=EMAIL, password=PASSWORD, **headers):
        """A session of somebody; None if they may not sign in."""
        status, reply = self.call("POST", "/users/login", body={"email": email, "password": password}, **headers)
        return reply["session_token"] if status == 201 else None

    def accepts(self, token):
        return self.call("GET", "/users/me", token)[0] == 200

    def coder(self, home, *arguments, **options):
        """Starts the command line with a home of its own."""
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "CODER_CONFIG_DIR": str(home / "cli")}
        command = [processes.program("CODER_BIN"), *arguments]
        return subprocess.Popen(command, env=environment, **options)
