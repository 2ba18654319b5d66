"""What is recorded of a call is what the official packages have seen of it: tokens, tool calls, reasoning."""

import base64
import json

import pytest

import processes
from records import Records
from test_anthropic import MODEL as CLAUDE_MODEL
from test_anthropic import WEATHER
from test_openai import CHAT_TOOL, MODEL, RESPONSES_TOOL

# Two tool calls behind some reasoning, with part of the input from the cache; and a plain answer.
BUSY = "What is the weather? [[sim: tools=2 reasoning cached=1234]]"
PLAIN = "What is the weather?"
QUESTIONS = pytest.mark.parametrize("question", [BUSY, PLAIN])
STREAMED = pytest.mark.parametrize("streamed", [False, True])


@pytest.fixture
def records(gateway):
    return Records(gateway)


def assert_usage(recorded, **tokens):
    usage = {name: recorded.usage[f"{name}_tokens"] for name in tokens}
    assert usage == tokens
    assert not recorded.usage["is_partial"]


def assert_request(recorded, model, question, streamed):
    assert (recorded.row["model"], recorded.row["marks"]) == (model, 0)
    assert recorded.row["initiator_username"] == processes.OWNER
    assert recorded.row["is_streamed"] == streamed
    assert recorded.prompt == question


def called(recorded):
    return [(tool["provider_tool_call_id"], tool["tool"], json.loads(tool["input"])) for tool in recorded.tools]


@STREAMED
@QUESTIONS
def test_messages(claude, records, question, streamed):
    asked = {
        "model": CLAUDE_MODEL,
        "max_tokens": 500,
        "tools": [WEATHER],
        "messages": [{"role": "user", "content": question}],
    }
    if streamed:
        with claude.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = claude.messages.create(**asked)
    recorded = records.only()
    assert_request(recorded, CLAUDE_MODEL, question, streamed)
    assert recorded.row["provider_response_id"] == message.id
    assert recorded.row["answered_model"] == message.model
    assert recorded.row["stop_reason"] == message.stop_reason
    assert_usage(
        recorded,
        input=message.usage.input_tokens,
        output=message.usage.output_tokens,
        cache_read_input=message.usage.cache_read_input_tokens,
        cache_write_input=message.usage.cache_creation_input_tokens,
    )
    blocks = message.content
    assert called(recorded) == [(block.id, block.name, block.input) for block in blocks if block.type == "tool_use"]
    thoughts = [block.thinking for block in blocks if block.type == "thinking"]
    assert [thought["content"] for thought in recorded.thoughts] == thoughts
    is_busy = question == BUSY
    assert (len(recorded.tools), len(recorded.thoughts)) == ((2, 1) if is_busy else (0, 0))
    assert recorded.usage["cache_read_input_tokens"] == (1234 if is_busy else 0)


def assert_chat_usage(recorded, usage):
    cached = usage.prompt_tokens_details.cached_tokens
    assert_usage(
        recorded,
        input=usage.prompt_tokens - cached,
        output=usage.completion_tokens,
        cache_read_input=cached,
        cache_write_input=0,
        reasoning=usage.completion_tokens_details.reasoning_tokens,
    )


@QUESTIONS
def test_chat(gpt, records, question):
    asked = {"model": MODEL, "tools": [CHAT_TOOL], "messages": [{"role": "user", "content": question}]}
    completion = gpt.chat.completions.create(**asked)
    recorded = records.only()
    assert_request(recorded, MODEL, question, False)
    assert recorded.row["provider_response_id"] == completion.id
    assert recorded.row["stop_reason"] == completion.choices[0].finish_reason
    assert_chat_usage(recorded, completion.usage)
    calls = completion.choices[0].message.tool_calls or []
    assert called(recorded) == [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]


@QUESTIONS
@pytest.mark.parametrize("asks_for_usage", [True, False])
def test_chat_stream(gpt, sim, records, question, asks_for_usage):
    """The usage is recorded whether or not the client sees it; what the provider said of it is known in any case."""
    asked = {"model": MODEL, "tools": [CHAT_TOOL], "messages": [{"role": "user", "content": question}]}
    if asks_for_usage:
        asked["stream_options"] = {"include_usage": True}
    with gpt.chat.completions.stream(**asked) as stream:
        completion = stream.get_final_completion()
    recorded = records.only()
    assert_request(recorded, MODEL, question, True)
    assert recorded.row["stop_reason"] == completion.choices[0].finish_reason
    calls = completion.choices[0].message.tool_calls or []
    assert called(recorded) == [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]
    if asks_for_usage:
        assert_chat_usage(recorded, completion.usage)
    assert (completion.usage is not None) == asks_for_usage
    told = usage_of_the_provider(sim)
    cached = told["prompt_tokens_details"]["cached_tokens"]
    assert_usage(
        recorded,
        input=told["prompt_tokens"] - cached,
        output=told["completion_tokens"],
        cache_read_input=cached,
        reasoning=told["completion_tokens_details"]["reasoning_tokens"],
    )


def usage_of_the_provider(sim):
    (answer,) = json.loads(processes.get(f"{sim.url}/_sim/answers")[1])
    lines = base64.b64decode(answer["body_base64"]).decode().splitlines()
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: {")]
    (usage,) = [chunk["usage"] for chunk in chunks if chunk.get("usage")]
    return usage


@STREAMED
@QUESTIONS
def test_responses(gpt, records, question, streamed):
    asked = {"model": MODEL, "tools": [RESPONSES_TOOL], "input": [{"role": "user", "content": question}]}
    if streamed:
        with gpt.responses.stream(**asked) as stream:
            response = stream.get_final_response()
    else:
        response = gpt.responses.create(**asked)
    recorded = records.only()
    assert_request(recorded, MODEL, question, streamed)
    assert recorded.row["provider_response_id"] == response.id
    assert recorded.row["stop_reason"] == response.status
    cached = response.usage.input_tokens_details.cached_tokens
    assert_usage(
        recorded,
        input=response.usage.input_tokens - cached,
        output=response.usage.output_tokens,
        cache_read_input=cached,
        reasoning=response.usage.output_tokens_details.reasoning_tokens,
    )
    calls = [item for item in response.output if item.type == "function_call"]
    assert called(recorded) == [(call.call_id, call.name, json.loads(call.arguments)) for call in calls]
    assert [tool["provider_item_id"] for tool in recorded.tools] == [call.id for call in calls]
    summaries = [
        "\n\n".join(part.text for part in item.summary)
        for item in response.output
        if item.type == "reasoning" and item.summary
    ]
    seen = [thought["content"] for thought in recorded.thoughts if thought["source"] == "reasoning_summary"]
    assert seen == summaries
    assert bool(calls) == bool(summaries) == (question == BUSY)


def test_a_conversation_is_one_thread(claude, records):
    asked = {"model": CLAUDE_MODEL, "max_tokens": 500, "tools": [WEATHER]}
    question = {"role": "user", "content": "What is the weather? [[sim: tool=get_weather]]"}
    message = claude.messages.create(messages=[question], **asked)
    first = records.only()
    (call,) = [block for block in message.content if block.type == "tool_use"]
    content = [block.model_dump(exclude_none=True) for block in message.content]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    going_on = [question, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    claude.messages.create(messages=going_on, **asked)
    second = records.only()
    assert second.prompt is None
    assert second.row["thread_parent_id"] == first.row["id"]
    assert second.row["session_id"] == first.row["session_id"]
