"""Streams that do not end as they should: the token is removed meanwhile, or the provider fails."""

import anthropic
import httpx2
import openai
import pytest

from conftest import anthropic_client, openai_client

ANTHROPIC_ERRORS = (anthropic.APIError, httpx2.HTTPError)
OPENAI_ERRORS = (openai.APIError, httpx2.HTTPError)

# More than a client could mistake for the whole answer; the gate is never opened.
HELD = "Hello [[sim: chunks=20 gate={gate} gate_after=8]]"


def kinds_until(stream, errors, when):
    """The kinds of events until the stream raises; `when` is called after the third."""
    kinds = []
    with pytest.raises(errors):
        for event in stream:
            kinds.append(getattr(event, "type", "chunk"))
            if getattr(event, "choices", None) and event.choices[0].finish_reason:
                kinds.append("finished")
            if len(kinds) == 3:
                when()
    assert len(kinds) >= 3
    return kinds


def messages(client, text):
    question = [{"role": "user", "content": text}]
    return client.messages.create(model="claude-sonnet-4-8", max_tokens=50, messages=question, stream=True)


def chat(client, text):
    question = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="gpt-5.5", messages=question, stream=True)


def responses(client, text):
    return client.responses.create(model="gpt-5.5", input=text, stream=True)


def test_messages_of_a_removed_token(gateway):
    token = gateway.make_token()
    with anthropic_client(gateway, token.text) as client:
        kinds = kinds_until(messages(client, HELD.format(gate="never-1")), ANTHROPIC_ERRORS, token.remove)
        assert "message_stop" not in kinds and "message_delta" not in kinds
        # Clients repeat a broken stream at once.
        with pytest.raises(anthropic.AuthenticationError):
            messages(client, "Hello")


@pytest.mark.parametrize(("api", "call"), [("chat", chat), ("responses", responses)])
def test_openai_streams_of_a_removed_token(gateway, api, call):
    token = gateway.make_token()
    with openai_client(gateway, token.text) as client:
        kinds = kinds_until(call(client, HELD.format(gate=f"never-{api}")), OPENAI_ERRORS, token.remove)
        assert "response.completed" not in kinds and "finished" not in kinds
        with pytest.raises(openai.AuthenticationError):
            call(client, "Hello")


def test_the_helper_for_streams_raises_too(gateway):
    token = gateway.make_token()
    with anthropic_client(gateway, token.text) as client:
        question = [{"role": "user", "content": HELD.format(gate="never-2")}]
        arguments = {"model": "claude-sonnet-4-8", "max_tokens": 50, "messages": question}
        with pytest.raises(ANTHROPIC_ERRORS), client.messages.stream(**arguments) as stream:
            for count, _ in enumerate(stream):
                if count == 3:
                    token.remove()
            pytest.fail("the stream looked complete")


def test_other_tokens_of_the_user_go_on(gateway, sim):
    removed, kept = gateway.make_token(), gateway.make_token()
    with anthropic_client(gateway, removed.text) as one, anthropic_client(gateway, kept.text) as other:
        going_on = messages(other, HELD.format(gate="other-token"))
        first = next(going_on)
        kinds_until(messages(one, HELD.format(gate="never-3")), ANTHROPIC_ERRORS, removed.remove)
        sim.open_gate("other-token")
        kinds = [first.type, *(event.type for event in going_on)]
    assert kinds[-1] == "message_stop" and kinds.count("content_block_delta") == 20


@pytest.mark.parametrize("how", ["fin", "rst", "mid_event"])
def test_a_stream_that_the_provider_breaks_does_not_look_complete(claude, gpt, how):
    broken = f"Hello [[sim: chunks=20 break_after=8 break={how}]]"
    for stream, errors, last in (
        (messages(claude, broken), ANTHROPIC_ERRORS, "message_stop"),
        (chat(gpt, broken), OPENAI_ERRORS, "finished"),
        (responses(gpt, broken), OPENAI_ERRORS, "response.completed"),
    ):
        assert last not in kinds_until(stream, errors, lambda: None)


def test_an_error_event_of_the_provider_passes(claude):
    stream = messages(claude, "Hello [[sim: chunks=20 error_event_after=8]]")
    with pytest.raises(anthropic.APIStatusError):
        list(stream)
