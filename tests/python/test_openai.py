"""The openai package through the gateway, with a valid token: Chat Completions and Responses."""

import asyncio
import json

import openai
import pytest

import processes

MODEL = "gpt-5.5"
PARAMETERS = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
RESPONSES_TOOL = {"type": "function", "name": "get_weather", "parameters": PARAMETERS, "strict": False}


def ask(text):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}]}


def size(text):
    """Bytes, which is what the simulated provider counts."""
    return len(text.encode())


def test_chat(gpt, sim):
    completion = gpt.chat.completions.create(**ask("Hello [[sim: size=64]]"))
    assert size(completion.choices[0].message.content) == 64
    assert completion.usage.total_tokens > 0
    received = sim.request()
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.credentials() == [("authorization", f"Bearer {processes.CENTRAL_OPENAI}")]
    assert json.loads(received.body) == ask("Hello [[sim: size=64]]")


def test_the_request_id_is_the_providers(gpt, sim):
    completion = gpt.chat.completions.create(**ask("Hello"))
    (answer,) = json.loads(processes.get(f"{sim.url}/_sim/answers")[1])
    assert completion._request_id and ["x-request-id", completion._request_id] in answer["headers"]


@pytest.mark.parametrize("usage", [False, True])
def test_chat_stream(gpt, usage):
    question = ask("Hello [[sim: chunks=9 size=300 split=random seed=5]]")
    if usage:
        question["stream_options"] = {"include_usage": True}
    text, reason, used = "", None, None
    for chunk in gpt.chat.completions.create(stream=True, **question):
        used = chunk.usage or used
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    assert (size(text), reason) == (300, "stop")
    assert (used is not None) == usage


@pytest.mark.parametrize("streamed", [False, True])
def test_chat_tool_call(gpt, streamed):
    question = ask("What is the weather? [[sim: tool=get_weather]]") | {"tools": [CHAT_TOOL]}
    if streamed:
        with gpt.chat.completions.stream(**question) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = gpt.chat.completions.create(**question).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "get_weather" and isinstance(json.loads(call.function.arguments), dict)
    called = {"id": call.id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    question["messages"] += [
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    assert gpt.chat.completions.create(**question).choices[0].finish_reason == "stop"


def test_response(gpt, sim):
    response = gpt.responses.create(model=MODEL, input="Hello [[sim: size=64]]")
    assert size(response.output_text) == 64
    assert response.status == "completed" and response.usage.total_tokens > 0
    assert sim.request().path == "/v1/responses"


def test_response_stream(gpt):
    kinds, text = [], ""
    question = {"model": MODEL, "input": "Hello [[sim: chunks=9 size=300 split=random seed=5]]"}
    for event in gpt.responses.create(stream=True, **question):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert size(text) == 300


def test_stream_arrives_piece_by_piece(gpt, sim):
    """The provider holds its answer back until the client has seen the beginning."""
    question = {"model": MODEL, "input": "Hello [[sim: chunks=5 gate=responses-piecewise gate_after=3]]"}
    kinds = []
    for event in gpt.responses.create(stream=True, **question):
        if not kinds:
            sim.open_gate("responses-piecewise")
        kinds.append(event.type)
    assert kinds.count("response.output_text.delta") == 5 and kinds[-1] == "response.completed"


@pytest.mark.parametrize("streamed", [False, True])
def test_response_tool_call(gpt, streamed):
    question = {
        "model": MODEL,
        "input": [{"role": "user", "content": "What is the weather? [[sim: tool=get_weather]]"}],
        "tools": [RESPONSES_TOOL],
    }
    if streamed:
        with gpt.responses.stream(**question) as stream:
            response = stream.get_final_response()
    else:
        response = gpt.responses.create(**question)
    (call,) = [item for item in response.output if item.type == "function_call"]
    assert call.name == "get_weather" and isinstance(json.loads(call.arguments), dict)
    question["input"] += [
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"},
    ]
    answer = gpt.responses.create(**question)
    assert answer.output_text and not [item for item in answer.output if item.type == "function_call"]


def test_models(gpt, sim):
    assert MODEL in [model.id for model in gpt.models.list()]
    assert gpt.models.retrieve(MODEL).id == MODEL
    assert [received.path for received in sim.requests()] == ["/v1/models", f"/v1/models/{MODEL}"]


def test_async_client(gateway, token):
    async def run():
        client = openai.AsyncOpenAI(base_url=gateway.provider("openai") + "/v1", api_key=token)
        async with client:
            answers = [client.chat.completions.create(**ask(f"Hello {n} [[sim: size={n + 20}]]")) for n in range(20)]
            return [size(answer.choices[0].message.content) for answer in await asyncio.gather(*answers)]

    assert asyncio.run(run()) == [n + 20 for n in range(20)]
