"""A gateway with its proxy and the vendors' own base URLs, and the environment of its clients."""

import json
import os
import subprocess
import sys

import processes


class ProxiedGateway(processes.Gateway):
    """Its clients set no base URL."""

    def __init__(self, sim, vendors, folder):
        self.vendors = vendors
        super().__init__(
            "proxied-gateway",
            sim,
            folder,
            CODER_AIBRIDGE_PROXY_ENABLED="true",
            CODER_AIBRIDGE_PROXY_LISTEN_ADDR="127.0.0.1:0",
            CODER_AIBRIDGE_ANTHROPIC_BASE_URL="https://api.anthropic.com/",
            CODER_AIBRIDGE_OPENAI_BASE_URL="https://api.openai.com/v1/",
            HTTPS_PROXY=vendors.proxy,
            SSL_CERT_FILE=vendors.roots,
        )

    def client_environment(self, token):
        """What `coder aibridge proxy env` sets in a shell, for a token, and nothing else.

        The roots beside the proxy's are those of the simulated vendors: a client that goes past the proxy trusts nobody
        else.
        """
        lines = self.cli(
            "aibridge", "proxy", "env", "--shell", "bash", "--roots", self.vendors.roots, CODER_SESSION_TOKEN=token
        )
        show = "import json, os; print(json.dumps(dict(os.environ)))"
        # A shell of its own evaluates what was printed, as a person's does.
        script = 'eval "$1" && exec "$2" -c "$3"'
        done = subprocess.run(
            ["sh", "-c", script, "sh", lines, sys.executable, show],
            env={},
            capture_output=True,
            text=True,
            timeout=processes.PATIENCE,
            check=True,
        )
        variables = json.loads(done.stdout)
        expected = {
            "HTTPS_PROXY",
            "NO_PROXY",
            "NODE_EXTRA_CA_CERTS",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
        }
        assert expected <= variables.keys(), variables.keys()
        return {name: variables[name] for name in expected}

    def run_node(self, *arguments, **environment):
        """A run of the client in `tests/node`."""
        folder = os.path.join(os.path.dirname(__file__), "..", "node")
        return subprocess.run(
            ["node", os.path.join(folder, "client.mjs"), *arguments],
            env={"PATH": os.environ["PATH"], "SDK_NODE_DIR": processes.program("SDK_NODE_DIR"), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=processes.PATIENCE,
            check=False,
        )
