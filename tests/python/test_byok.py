"""Own credentials: the gateway token in a header of its own, the credential for the provider beside it."""

import anthropic
import openai
import pytest

from conftest import anthropic_client, openai_client
from processes import (
    CENTRAL_ANTHROPIC,
    CENTRAL_OPENAI,
    PERSONAL_ANTHROPIC,
    PERSONAL_OPENAI,
)

GOVERNANCE = "X-Coder-AI-Governance-Token"


def message(client):
    question = [{"role": "user", "content": "Hello"}]
    answer = client.messages.create(model="claude-sonnet-4-8", max_tokens=50, messages=question)
    assert answer.stop_reason == "end_turn"


def completion(client, **options):
    question = [{"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model="gpt-5.5", messages=question, **options)
    assert answer.choices[0].finish_reason == "stop"


def test_anthropic_key_as_bearer(gateway, token, sim):
    with anthropic_client(gateway, PERSONAL_ANTHROPIC, default_headers={GOVERNANCE: token}) as client:
        message(client)
    assert sim.request().credentials() == [("authorization", f"Bearer {PERSONAL_ANTHROPIC}")]


def test_anthropic_key_in_its_own_header(gateway, token, sim):
    headers = {GOVERNANCE: token, "X-Api-Key": PERSONAL_ANTHROPIC, "Authorization": anthropic.Omit()}
    with anthropic_client(gateway, "unused", default_headers=headers) as client:
        message(client)
    assert sim.request().credentials() == [("x-api-key", PERSONAL_ANTHROPIC)]


def test_openai_key(gateway, token, sim):
    with openai_client(gateway, PERSONAL_OPENAI, default_headers={GOVERNANCE: token}) as client:
        completion(client)
        assert client.responses.create(model="gpt-5.5", input="Hello").output_text
    assert [received.credentials() for received in sim.requests()] == [
        [("authorization", f"Bearer {PERSONAL_OPENAI}")]
    ] * 2


def test_headers_that_belong_to_the_credential_pass(gateway, token, sim):
    headers = {GOVERNANCE: token, "Chatgpt-Account-Id": "account-7", "Openai-Beta": "something=v1"}
    with openai_client(gateway, PERSONAL_OPENAI, default_headers=headers) as client:
        completion(client)
    received = sim.request()
    assert received.values("chatgpt-account-id") == ["account-7"]
    assert received.values("openai-beta") == ["something=v1"]


def test_an_own_stream_is_streamed(gateway, token):
    with anthropic_client(gateway, PERSONAL_ANTHROPIC, default_headers={GOVERNANCE: token}) as client:
        question = [{"role": "user", "content": "Hello [[sim: chunks=4]]"}]
        arguments = {"model": "claude-sonnet-4-8", "max_tokens": 50, "messages": question}
        with client.messages.stream(**arguments) as stream:
            assert stream.get_final_message().stop_reason == "end_turn"


def test_without_an_own_credential_the_central_key_is_used(gateway, token, sim):
    headers = {GOVERNANCE: token, "Authorization": anthropic.Omit()}
    with anthropic_client(gateway, "unused", default_headers=headers) as client:
        message(client)
    with openai_client(gateway, "unused", default_headers={GOVERNANCE: token}) as client:
        completion(client, extra_headers={"Authorization": openai.Omit()})
    assert [received.credentials() for received in sim.requests()] == [
        [("x-api-key", CENTRAL_ANTHROPIC)],
        [("authorization", f"Bearer {CENTRAL_OPENAI}")],
    ]


def test_the_token_in_both_places_is_central(gateway, token, sim):
    with anthropic_client(gateway, token, default_headers={GOVERNANCE: token}) as client:
        message(client)
    assert sim.request().credentials() == [("x-api-key", CENTRAL_ANTHROPIC)]


@pytest.mark.parametrize("token_in", ["bearer", "header"])
def test_of_two_credentials_the_token_counts(gateway, token, sim, token_in):
    """Both variables of Claude Code are set, one of them to a provider's key that was forgotten there."""
    bearer, header = (token, PERSONAL_ANTHROPIC) if token_in == "bearer" else (PERSONAL_ANTHROPIC, token)
    with anthropic_client(gateway, bearer, default_headers={"X-Api-Key": header}) as client:
        message(client)
    assert sim.request().credentials() == [("x-api-key", CENTRAL_ANTHROPIC)]


def test_a_key_that_the_provider_refuses(gateway, token):
    """The provider's own refusal reaches the client as it is."""
    with anthropic_client(gateway, "sk-ant-of-nobody", default_headers={GOVERNANCE: token}) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            message(client)
    assert "x-should-retry" not in caught.value.response.headers
