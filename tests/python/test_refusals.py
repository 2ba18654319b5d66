"""What the packages make of a refusal: the right error, at once, also for a large request over a slow link."""

import anthropic
import openai
import pytest

from conftest import anthropic_client, openai_client
from link import Link
from processes import PERSONAL_ANTHROPIC, PERSONAL_OPENAI

KINDS = [
    "removed",
    "expired",
    "made up",
    "made up, bad checksum",
    "anthropic key",
    "openai key",
    "central key",
]
SIZES = {"small": 10, "1 MiB": 1 << 20}

anthropic_calls = {
    "message": lambda client, text: client.messages.create(
        model="claude-sonnet-4-8", max_tokens=50, messages=[{"role": "user", "content": text}]
    ),
    "stream": lambda client, text: client.messages.create(
        model="claude-sonnet-4-8", max_tokens=50, messages=[{"role": "user", "content": text}], stream=True
    ),
    "count_tokens": lambda client, text: client.messages.count_tokens(
        model="claude-sonnet-4-8", messages=[{"role": "user", "content": text}]
    ),
}
openai_calls = {
    "chat": lambda client, text: client.chat.completions.create(
        model="gpt-5.5", messages=[{"role": "user", "content": text}]
    ),
    "chat stream": lambda client, text: client.chat.completions.create(
        model="gpt-5.5", messages=[{"role": "user", "content": text}], stream=True
    ),
    "responses": lambda client, text: client.responses.create(model="gpt-5.5", input=text),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", anthropic_calls)
@pytest.mark.parametrize("kind", KINDS)
def test_anthropic(gateway, sim, dead_tokens, kind, call, size):
    with Link(gateway.port) as link, anthropic_client(gateway, dead_tokens[kind], link.port) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            anthropic_calls[call](client, "x" * SIZES[size])
    refusal(caught.value, link, sim)
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", openai_calls)
@pytest.mark.parametrize("kind", KINDS)
def test_openai(gateway, sim, dead_tokens, kind, call, size):
    with Link(gateway.port) as link, openai_client(gateway, dead_tokens[kind], link.port) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            openai_calls[call](client, "x" * SIZES[size])
    refusal(caught.value, link, sim)
    assert caught.value.body["message"] and "type" in caught.value.body


@pytest.mark.parametrize("kind", KINDS)
def test_models(gateway, dead_tokens, kind):
    with anthropic_client(gateway, dead_tokens[kind]) as client, pytest.raises(anthropic.AuthenticationError):
        client.models.list()
    with openai_client(gateway, dead_tokens[kind]) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.parametrize("size", SIZES)
def test_anthropic_own_key_where_it_is_off(strict_gateway, sim, size):
    token = strict_gateway.make_token().text
    headers = {"X-Coder-AI-Governance-Token": token}
    with Link(strict_gateway.port) as link:
        client = anthropic_client(strict_gateway, PERSONAL_ANTHROPIC, link.port, default_headers=headers)
        with client, pytest.raises(anthropic.PermissionDeniedError) as caught:
            anthropic_calls["message"](client, "x" * SIZES[size])
    refusal(caught.value, link, sim)
    assert caught.value.body["error"]["type"] == "permission_error"
    with anthropic_client(strict_gateway, token) as client:
        assert anthropic_calls["message"](client, "Hello").stop_reason == "end_turn"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("call", openai_calls)
def test_openai_own_key_where_it_is_off(strict_gateway, sim, call, size):
    token = strict_gateway.make_token().text
    headers = {"X-Coder-AI-Governance-Token": token}
    with Link(strict_gateway.port) as link:
        client = openai_client(strict_gateway, PERSONAL_OPENAI, link.port, default_headers=headers)
        with client, pytest.raises(openai.PermissionDeniedError) as caught:
            openai_calls[call](client, "x" * SIZES[size])
    refusal(caught.value, link, sim)
    with openai_client(strict_gateway, token) as client:
        assert openai_calls["responses"](client, "Hello").output_text


@pytest.mark.parametrize("kind", ["removed", "expired", "made up"])
def test_a_dead_governance_token_is_refused_whatever_else_is_there(gateway, sim, token, dead_tokens, kind):
    headers = {"X-Coder-AI-Governance-Token": dead_tokens[kind]}
    for credential in (token, PERSONAL_ANTHROPIC):
        client = anthropic_client(gateway, credential, default_headers=headers)
        with client, pytest.raises(anthropic.AuthenticationError):
            anthropic_calls["message"](client, "Hello")
    assert sim.requests() == []


def refusal(error, link, sim):
    """The client was told once, and the provider was not asked."""
    assert error.response.headers["x-should-retry"] == "false"
    assert link.attempts == 1
    assert sim.requests() == []
