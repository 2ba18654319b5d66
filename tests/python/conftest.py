"""What the tests share: one simulated provider, a gateway for all, one without own credentials, one with a proxy."""

import anthropic
import openai
import pytest

import processes
import proxied
import tokens
import vendors as vendor_hosts


@pytest.fixture(scope="session")
def sim(tmp_path_factory):
    yield from run(processes.Sim(tmp_path_factory.mktemp("sim")))


@pytest.fixture(scope="session")
def gateway(sim, tmp_path_factory):
    yield from run(processes.Gateway("gateway", sim, tmp_path_factory.mktemp("gateway")))


@pytest.fixture(scope="session")
def strict_gateway(sim, tmp_path_factory):
    """A gateway where nobody may bring a credential of their own."""
    folder = tmp_path_factory.mktemp("strict")
    yield from run(processes.Gateway("strict-gateway", sim, folder, CODER_AIBRIDGE_ALLOW_BYOK="false"))


@pytest.fixture(scope="session")
def vendors(sim, tmp_path_factory):
    """The vendors' own hosts, which are the simulated provider."""
    with vendor_hosts.Vendors(sim.url, tmp_path_factory.mktemp("vendors")) as hosts:
        yield hosts
        assert set(hosts.asked) <= hosts.tls.keys(), f"the gateway asked for {hosts.asked}"


@pytest.fixture(scope="session")
def proxied_gateway(sim, vendors, tmp_path_factory):
    """A gateway whose clients go through its proxy."""
    yield from run(proxied.ProxiedGateway(sim, vendors, tmp_path_factory.mktemp("proxied")))


def run(process):
    try:
        yield process
        process.stop()
    finally:
        process.kill()


@pytest.fixture(scope="session")
def token(gateway):
    """A token that lives as long as the tests."""
    return gateway.make_token().text


@pytest.fixture(scope="session")
def dead_tokens(gateway):
    """Each kind of credential that must be refused."""
    removed = gateway.make_token()
    removed.remove()
    expired = gateway.make_token(lifetime="1s")
    processes.wait_for(lambda: refused(gateway, expired.text), "a token to expire")
    return {
        "removed": removed.text,
        "expired": expired.text,
        "made up": tokens.made_up(valid_checksum=True),
        "made up, bad checksum": tokens.made_up(valid_checksum=False),
        "anthropic key": processes.PERSONAL_ANTHROPIC,
        "openai key": processes.PERSONAL_OPENAI,
        "central key": processes.CENTRAL_ANTHROPIC,
    }


def refused(gateway, text):
    with anthropic_client(gateway, text) as client:
        try:
            client.models.list()
        except anthropic.AuthenticationError:
            return True
        return False


@pytest.fixture(autouse=True)
def nothing_leaks(sim):
    """No gateway token reaches the provider, whatever a test does; and each test begins with an empty log."""
    sim.forget()
    yield
    for received in sim.requests():
        heads = [received.path, received.query, *(f"{name}: {value}" for name, value in received.headers)]
        assert not [text for text in heads if "cdr_" in text], "a gateway token was sent to the provider"
        assert not received.values("x-coder-ai-governance-token")
        assert len(received.credentials()) == 1, f"not exactly one credential: {received.credentials()}"


def anthropic_client(gateway, credential, port=None, **options):
    options.setdefault("timeout", processes.PATIENCE)
    return anthropic.Anthropic(base_url=gateway.provider("anthropic", port), api_key=credential, **options)


def openai_client(gateway, credential, port=None, **options):
    options.setdefault("timeout", processes.PATIENCE)
    return openai.OpenAI(base_url=gateway.provider("openai", port) + "/v1", api_key=credential, **options)


@pytest.fixture
def claude(gateway, token):
    """The anthropic package with a valid token."""
    with anthropic_client(gateway, token) as client:
        yield client


@pytest.fixture
def gpt(gateway, token):
    """The openai package with a valid token."""
    with openai_client(gateway, token) as client:
        yield client
