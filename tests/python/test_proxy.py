"""The official packages as they come, without a base URL: they go to the vendors' hosts, and the proxy is on the way.

The clients are set up by what `coder aibridge proxy env` prints. Everything that `test_records` demands of a record is
demanded here, too.
"""

import json
import ssl
import urllib.request

import anthropic
import openai
import pytest

import processes
from records import Records
from test_records import (  # noqa: F401, they are collected here and get the clients below
    test_a_conversation_is_one_thread,
    test_chat,
    test_chat_stream,
    test_messages,
    test_responses,
)
from test_streams import ANTHROPIC_ERRORS, HELD, kinds_until, messages

# What a client without a key of its own has for one.
PLACEHOLDER = "coder-aibridge"


@pytest.fixture(scope="module")
def gateway(proxied_gateway):
    return proxied_gateway


@pytest.fixture(scope="module")
def environment(gateway):
    return gateway.client_environment(gateway.make_token().text)


@pytest.fixture
def records(gateway):
    return Records(gateway)


@pytest.fixture
def through_the_proxy(monkeypatch, environment):
    """This process is a client."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
        # Of two spellings, some programs prefer the other.
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", PLACEHOLDER)
    monkeypatch.setenv("OPENAI_API_KEY", PLACEHOLDER)


@pytest.fixture
def claude(through_the_proxy):
    with anthropic.Anthropic(timeout=processes.PATIENCE) as client:
        assert client.base_url.host == "api.anthropic.com"
        yield client


@pytest.fixture
def gpt(through_the_proxy):
    with openai.OpenAI(timeout=processes.PATIENCE) as client:
        assert client.base_url.host == "api.openai.com"
        yield client


@pytest.fixture(autouse=True)
def no_trace_of_the_proxy(sim):
    yield
    for received in sim.requests():
        names = [name for name, _ in received.headers]
        assert not [name for name in names if name.startswith(("proxy-", "x-forwarded", "forwarded", "via"))]


def message(client):
    question = [{"role": "user", "content": "Hello"}]
    return client.messages.create(model="claude-sonnet-4-8", max_tokens=50, messages=question)


def test_the_central_key_is_used(claude, gpt, sim):
    message(claude)
    gpt.responses.create(model="gpt-5.5", input="Hello")
    assert [(received.values("host"), received.credentials()) for received in sim.requests()] == [
        (["api.anthropic.com"], [("x-api-key", processes.CENTRAL_ANTHROPIC)]),
        (["api.openai.com"], [("authorization", f"Bearer {processes.CENTRAL_OPENAI}")]),
    ]


def test_an_own_key_is_used(through_the_proxy, sim, records):
    with anthropic.Anthropic(api_key=processes.PERSONAL_ANTHROPIC) as client:
        message(client)
    assert records.only().row["credential_kind"] == "byok"
    with openai.OpenAI(api_key=processes.PERSONAL_OPENAI) as client:
        client.responses.create(model="gpt-5.5", input="Hello")
    assert records.only().row["credential_kind"] == "byok"
    assert [received.credentials() for received in sim.requests()] == [
        [("authorization", f"Bearer {processes.PERSONAL_ANTHROPIC}")],
        [("authorization", f"Bearer {processes.PERSONAL_OPENAI}")],
    ]


def test_a_removed_token_is_refused(gateway, monkeypatch, through_the_proxy, sim):
    token = gateway.make_token()
    monkeypatch.setenv("HTTPS_PROXY", gateway.client_environment(token.text)["HTTPS_PROXY"])
    with anthropic.Anthropic(max_retries=0) as client:
        message(client)
        sim.forget()
        token.remove()
        # On the connection that is open, and on a new one.
        for _ in range(2):
            with pytest.raises(anthropic.APIConnectionError):
                message(client)
    assert not sim.requests()


def test_a_stream_of_a_removed_token(gateway, monkeypatch, through_the_proxy):
    token = gateway.make_token()
    monkeypatch.setenv("HTTPS_PROXY", gateway.client_environment(token.text)["HTTPS_PROXY"])
    with anthropic.Anthropic() as client:
        kinds = kinds_until(messages(client, HELD.format(gate="never-proxied")), ANTHROPIC_ERRORS, token.remove)
        assert "message_stop" not in kinds and "message_delta" not in kinds
        with pytest.raises(anthropic.APIConnectionError):
            messages(client, "Hello")


def test_an_address_of_this_network_is_refused(through_the_proxy):
    with anthropic.Anthropic(base_url="https://169.254.169.254/", max_retries=0) as client:
        with pytest.raises(anthropic.APIConnectionError) as caught:
            message(client)
    assert "403" in str(caught.value.__cause__)


def test_the_standard_library_asks_by_http_1_0(through_the_proxy, sim):
    headers = {"X-Api-Key": PLACEHOLDER, "anthropic-version": "2023-06-01"}
    request = urllib.request.Request("https://api.anthropic.com/v1/models", headers=headers)
    trust = ssl.create_default_context()
    with urllib.request.urlopen(request, timeout=processes.PATIENCE, context=trust) as answer:
        assert json.load(answer)["data"]
    assert sim.request().path == "/v1/models"


NODE_APIS = {"messages": "anthropic", "chat": "openai", "responses": "openai"}


@pytest.mark.parametrize("mode", ["whole", "stream"])
@pytest.mark.parametrize("api", NODE_APIS)
def test_node(gateway, environment, records, sim, api, mode):
    keys = {"ANTHROPIC_API_KEY": PLACEHOLDER, "OPENAI_API_KEY": PLACEHOLDER}
    done = gateway.run_node(api, mode, **environment, **keys)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["text"]
    assert sim.request().values("host") == [f"api.{NODE_APIS[api]}.com"]
    recorded = records.only()
    assert recorded.row["initiator_username"] == processes.OWNER
    assert recorded.row["provider_name"] == NODE_APIS[api]
    assert recorded.row["is_streamed"] == (mode == "stream")
    assert (recorded.row["provider_response_id"], recorded.row["stop_reason"]) == (told["id"], told["stop"])
    assert recorded.usage["output_tokens"] == told["output"]
