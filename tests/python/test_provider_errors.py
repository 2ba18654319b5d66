"""Errors of the provider's own reach the client as they are, so that it does what it would do without a gateway."""

import anthropic
import openai
import pytest

from conftest import anthropic_client, openai_client

ANTHROPIC = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
    529: anthropic.OverloadedError,
}
OPENAI = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    529: openai.InternalServerError,
}


def anthropic_message(client, text):
    question = [{"role": "user", "content": text}]
    return client.messages.create(model="claude-sonnet-4-8", max_tokens=50, messages=question)


def openai_chat(client, text):
    return client.chat.completions.create(model="gpt-5.5", messages=[{"role": "user", "content": text}])


@pytest.mark.parametrize("status", ANTHROPIC)
def test_anthropic(gateway, token, sim, status):
    with anthropic_client(gateway, token, max_retries=0) as client, pytest.raises(ANTHROPIC[status]) as caught:
        anthropic_message(client, f"Hello [[sim: error={status} retry_after=7]]")
    unchanged(caught.value, status, sim)
    assert caught.value.request_id.startswith("req_")


@pytest.mark.parametrize("status", OPENAI)
def test_openai(gateway, token, sim, status):
    with openai_client(gateway, token, max_retries=0) as client, pytest.raises(OPENAI[status]) as caught:
        openai_chat(client, f"Hello [[sim: error={status} retry_after=7]]")
    unchanged(caught.value, status, sim)
    assert caught.value.request_id.startswith("req_")


def unchanged(error, status, sim):
    assert error.status_code == status
    assert error.response.headers["retry-after"] == "7"
    assert "x-should-retry" not in error.response.headers
    assert f"simulated error {status}" in error.response.text
    assert len(sim.requests()) == 1


def test_what_may_heal_is_tried_again(gateway, token, sim):
    """Twice more by default, by the client; the gateway itself repeats nothing."""
    with anthropic_client(gateway, token) as client, pytest.raises(anthropic.InternalServerError):
        anthropic_message(client, "Hello [[sim: error=500]]")
    with openai_client(gateway, token) as client, pytest.raises(openai.RateLimitError):
        openai_chat(client, "Hello [[sim: error=429]]")
    assert len(sim.requests()) == 6


def test_limits_and_cookies(claude):
    """Headers about limits pass; cookies of the provider's do not."""
    question = [{"role": "user", "content": "Hello [[sim: extra_headers]]"}]
    raw = claude.messages.with_raw_response.create(model="claude-sonnet-4-8", max_tokens=50, messages=question)
    names = [name.lower() for name in raw.headers]
    assert [name for name in names if name.startswith("anthropic-ratelimit-")]
    assert "set-cookie" not in names and "x-sim-hop" not in names
