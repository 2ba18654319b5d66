"""Clients of the data plane, as they appear on the wire: what each calls itself, which API it speaks, how it goes on
after a tool call."""

import http.client
import json
import re
import socket
from dataclasses import dataclass
from typing import NamedTuple

import processes


class Api(NamedTuple):
    provider: str
    path: str
    # What the ids of tool calls look like.
    call: str
    own_key: str


MESSAGES = Api("anthropic", "v1/messages", r"toolu_\w+", processes.PERSONAL_ANTHROPIC)
CHAT = Api("openai", "v1/chat/completions", r"call_\w+", processes.PERSONAL_OPENAI)
RESPONSES = Api("openai", "v1/responses", r"call_\w+", processes.PERSONAL_OPENAI)


class Agent(NamedTuple):
    # As the dashboard names it.
    name: str
    user_agent: str
    api: Api
    # The header that holds its session.
    session: str | None = None


CLAUDE_CODE = Agent("Claude Code", "claude-cli/2.1.40 (external, cli)", MESSAGES, "x-claude-code-session-id")
CODEX = Agent("Codex", "codex_cli_rs/0.60.1 (Ubuntu 24.4.0; x86_64) xterm", RESPONSES, "session-id")
OPENCODE = Agent("OpenCode", "opencode/1.0.1", CHAT, "x-opencode-session")
ANTHROPIC_SDK = Agent("Unknown", "Anthropic/Python 0.92.0", MESSAGES)
OPENAI_SDK = Agent("Unknown", "OpenAI/Python 2.1.0", CHAT)


@dataclass
class Client:
    """A program that somebody uses."""

    address: str
    token: str
    agent: Agent
    # Of its own; None: what has no session of its own begins one with each prompt.
    session: str | None = None
    brings_key: bool = False

    def ask(self, model, prompt, sim="", tools=(), is_streamed=False):
        """Sends a prompt; what has come of the answer. `sim` says what the provider is to do."""
        return self._send(self._body(model, {"role": "user", "content": prompt}, tools, is_streamed), sim)

    def go_on(self, model, call, sim="", result="Done.", tools=()):
        """Brings the result of a tool call."""
        item = {
            MESSAGES: {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": call, "content": result}],
            },
            CHAT: {"role": "tool", "tool_call_id": call, "content": result},
            RESPONSES: {"type": "function_call_output", "call_id": call, "output": result},
        }[self.agent.api]
        return self._send(self._body(model, item, tools, False), sim)

    def calls(self, answer):
        """The ids of the tool calls in an answer, each once."""
        return list(dict.fromkeys(re.findall(self.agent.api.call, answer)))

    def leave(self, model, prompt):
        """Goes away when the first of an answer has come."""
        connection = self.hold(model, prompt)
        connection.close()

    def hold(self, model, prompt):
        """Asks for an answer that does not end: its connection, after the first of it has come."""
        body = self._body(model, {"role": "user", "content": prompt}, (), True)
        connection = self._connection()
        self._request(connection, body, "stall_after=4")
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        assert answer.read1(16)
        # The answer has a hand on the socket, too.
        return Held(connection, answer)

    def _body(self, model, item, tools, is_streamed):
        body = {"model": model, "stream": is_streamed}
        match self.agent.api:
            case api if api == RESPONSES:
                body["input"] = [item]
                body["tools"] = [{"type": "function", "name": name, "parameters": schema} for name, schema in tools]
            case api if api == CHAT:
                body["messages"] = [item]
                functions = [{"name": name, "parameters": schema} for name, schema in tools]
                body["tools"] = [{"type": "function", "function": function} for function in functions]
            case _:
                body |= {"messages": [item], "max_tokens": 1024}
                body["tools"] = [{"name": name, "input_schema": schema} for name, schema in tools]
        return body

    def _send(self, body, sim):
        connection = self._connection()
        try:
            self._request(connection, body, sim)
            return connection.getresponse().read().decode()
        except (http.client.HTTPException, ConnectionError) as cut:
            return getattr(cut, "partial", b"").decode()
        finally:
            connection.close()

    def _connection(self):
        return http.client.HTTPConnection(self.address, timeout=processes.PATIENCE)

    def _request(self, connection, body, sim):
        api = self.agent.api
        headers = {"Content-Type": "application/json", "User-Agent": self.agent.user_agent.encode()}
        if sim:
            headers["x-sim"] = sim.encode()
        if self.agent.session and self.session:
            headers[self.agent.session] = self.session.encode()
        if self.brings_key:
            headers["X-Coder-AI-Governance-Token"] = self.token
            headers["Authorization"] = f"Bearer {api.own_key}"
        else:
            headers["Authorization"] = f"Bearer {self.token}"
        if api == MESSAGES:
            headers["anthropic-version"] = "2023-06-01"
        path = f"/api/v2/aibridge/{api.provider}/{api.path}"
        connection.request("POST", path, json.dumps(body).encode(), headers)


class Held:
    """An answer that is still coming."""

    def __init__(self, connection, answer):
        self.connection, self.answer = connection, answer

    def close(self):
        self.answer.close()
        if self.connection.sock:
            self.connection.sock.shutdown(socket.SHUT_RDWR)
        self.connection.close()


def schema(**arguments):
    """Of a tool; the simulated provider calls it with just these arguments."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "enum": [value]} for name, value in arguments.items()},
    }
