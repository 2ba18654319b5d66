"""The anthropic package through the gateway, with a valid token."""

import asyncio
import http.client
import json

import anthropic
import pytest

import processes

MODEL = "claude-sonnet-4-8"
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a place",
    "input_schema": {
        "type": "object",
        "properties": {"place": {"type": "string"}},
        "required": ["place"],
    },
}


def ask(text):
    return {"model": MODEL, "max_tokens": 500, "messages": [{"role": "user", "content": text}]}


def size_of(message):
    """Bytes of text in an answer, which is what the simulated provider counts."""
    return len("".join(block.text for block in message.content if block.type == "text").encode())


def test_message(claude, sim):
    message = claude.messages.create(**ask("Hello [[sim: size=64]]"))
    assert size_of(message) == 64
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    received = sim.request()
    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.credentials() == [("x-api-key", processes.CENTRAL_ANTHROPIC)]
    assert json.loads(received.body) == ask("Hello [[sim: size=64]]")


def test_the_request_id_is_the_providers(claude, sim):
    message = claude.messages.create(**ask("Hello"))
    assert message._request_id and message._request_id.startswith("req_")
    (answer,) = json.loads(processes.get(f"{sim.url}/_sim/answers")[1])
    assert ["request-id", message._request_id] in answer["headers"]


def test_stream(claude):
    kinds = []
    with claude.messages.stream(**ask("Hello [[sim: chunks=9 size=300 split=random seed=5]]")) as stream:
        for event in stream:
            kinds.append(event.type)
        message = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert kinds.count("text") == 9
    assert size_of(message) == 300


def test_stream_arrives_piece_by_piece(claude, sim):
    """The provider holds its answer back until the client has seen the beginning."""
    question = ask("Hello [[sim: chunks=5 gate=piecewise gate_after=4]]")
    kinds = []
    for event in claude.messages.create(stream=True, **question):
        kinds.append(event.type)
        if kinds.count("content_block_delta") == 1:
            sim.open_gate("piecewise")
    assert kinds.count("content_block_delta") == 5 and kinds[-1] == "message_stop"


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_call(claude, streamed):
    question = ask("What is the weather? [[sim: tool=get_weather]]") | {"tools": [WEATHER]}
    if streamed:
        with claude.messages.stream(**question) as stream:
            message = stream.get_final_message()
    else:
        message = claude.messages.create(**question)
    assert message.stop_reason == "tool_use"
    (call,) = [block for block in message.content if block.type == "tool_use"]
    assert call.name == "get_weather" and isinstance(call.input, dict)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    question["messages"] += [
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
        {"role": "user", "content": [result]},
    ]
    assert claude.messages.create(**question).stop_reason == "end_turn"


def test_models(claude, sim):
    models = list(claude.models.list())
    assert MODEL in [model.id for model in models]
    assert claude.models.retrieve(MODEL).id == MODEL
    assert [received.path for received in sim.requests()] == ["/v1/models", f"/v1/models/{MODEL}"]


def test_count_tokens(claude, sim):
    question = ask("Hello")
    del question["max_tokens"]
    assert claude.messages.count_tokens(**question).input_tokens > 0
    assert sim.request().path == "/v1/messages/count_tokens"


def test_beta_queries_pass(claude, sim):
    claude.beta.messages.create(betas=["context-1m-2025-08-07"], **ask("Hello"))
    received = sim.request()
    assert "context-1m-2025-08-07" in ",".join(received.values("anthropic-beta"))


def test_async_client(gateway, token):
    async def run():
        client = anthropic.AsyncAnthropic(base_url=gateway.provider("anthropic"), api_key=token)
        async with client:
            # Claude Code asks many things at once.
            answers = [client.messages.create(**ask(f"Hello {n} [[sim: size={n + 20}]]")) for n in range(20)]
            return [size_of(message) for message in await asyncio.gather(*answers)]

    assert asyncio.run(run()) == [n + 20 for n in range(20)]


@pytest.mark.parametrize("path", ["aibridge", "ai-gateway"])
@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key"])
def test_clients_that_append_to_v1(gateway, token, sim, path, header):
    """Base URL `.../anthropic/v1`, as clients other than the official packages have it; under both names."""
    value = f"Bearer {token}" if header == "Authorization" else token
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=processes.PATIENCE)
    headers = {header: value, "Content-Type": "application/json", "Anthropic-Version": "2023-06-01"}
    body = json.dumps(ask("Hello"))
    connection.request("POST", f"/api/v2/{path}/anthropic/v1" + "/messages", body, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    assert json.loads(answer.read())["type"] == "message"
    connection.close()
    assert sim.request().body == body.encode()


def test_a_session_token_is_a_token(gateway):
    """`export ANTHROPIC_API_KEY=$(coder login token)`"""
    session = gateway.cli("login", "token")
    with anthropic.Anthropic(base_url=gateway.provider("anthropic"), api_key=session.strip()) as client:
        assert client.messages.create(**ask("Hello")).stop_reason == "end_turn"


def test_rotation(gateway):
    """A second token, then the removal of the first: no request fails in between."""
    first, second = gateway.make_token(), gateway.make_token("--scope", "aibridge")
    clients = [anthropic.Anthropic(base_url=gateway.provider("anthropic"), api_key=t.text) for t in (first, second)]
    for client in clients:
        client.messages.create(**ask("Hello"))
    first.remove()
    clients[1].messages.create(**ask("Hello"))
    with pytest.raises(anthropic.AuthenticationError):
        clients[0].messages.create(**ask("Hello"))
    for client in clients:
        client.close()
