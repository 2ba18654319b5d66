"""What is there before anything is looked at, and the ids that the addresses of pages need."""

import contextlib
import datetime
import sqlite3
from dataclasses import dataclass, field

import hostile
import past
import processes
import tokens
from asking import ANTHROPIC_SDK, CLAUDE_CODE, CODEX, OPENAI_SDK, OPENCODE, Agent, Client, schema
from gateway import OWNER, PASSWORD

LONG = "a-name-as-long-as-a-name-can-be1"
OPUS, SONNET, GPT, MINI = "claude-opus-4-5", "claude-sonnet-4-5", "gpt-5.2", "gpt-5.2-mini"

READ = ("Read", schema(path="/srv/app/src/main.rs"))
EDIT = ("Edit", schema(path="/srv/app/src/main.rs", old="let x = 1;", new="let x = 2;  // as the test wants it"))
SHELL = ("shell", schema(command="cargo test --workspace && git diff --stat"))

# What was used on which of the days before today: agent, model, tokens from the cache.
EARLIER = [
    (ago, agent, model, person, cached)
    for ago in range(1, 13)
    for agent, model, person, cached in [
        (CLAUDE_CODE, OPUS, "alice", 40_000 + ago * 3_100 % 17_000),
        (CODEX, GPT, "olivia", 25_000 - ago * 1_700 % 9_000),
        (ANTHROPIC_SDK, "claude-haiku-4-5", "robot", 9_000 * (ago % 3)),
    ]
    if ago % 7 not in (3, 4) or person == "robot"
]
# And long before.
LONG_AGO = [
    (ago, agent, model, person, cached)
    for ago, cached in [
        (17, 90_000),
        (24, 60_000),
        (33, 150_000),
        (47, 20_000),
        (61, 120_000),
        (92, 70_000),
        (154, 10_000),
    ]
    for agent, model, person in [(OPENCODE, MINI, "alice"), (CLAUDE_CODE, SONNET, "olivia")]
]


@dataclass
class Session:
    """One session with a model, as a list of them has it."""

    person: str
    agent: Agent
    models: set
    # Each prompt, the last one last.
    prompts: list
    # Days before today.
    ago: int = 0
    requests: int = 1

    @property
    def client(self):
        return self.agent.name

    @property
    def provider(self):
        return self.agent.api.provider


@dataclass
class Scene:
    gateway: object
    # By the names that `pages.py` uses.
    ids: dict
    # Of each person, for the data plane.
    tokens: dict = field(default_factory=dict)
    # In the order of their beginnings, the oldest first.
    sessions: list = field(default_factory=list)

    def client(self, person, agent, session=None, **options):
        return Client(self.gateway.address, self.tokens[person], agent, session, **options)

    def ask(self, person, agent, model, prompt, *, ago=0, session=None, **how):
        """A session of one prompt; what has come of its answer."""
        answer = self.client(person, agent, session).ask(model, prompt, **how)
        self.sessions.append(Session(person, agent, {model}, [prompt], ago))
        return answer

    def matching(self, condition):
        """The sessions for which it holds, the newest first."""
        return [session for session in reversed(self.sessions) if condition(session)]

    def listed(self, condition):
        """Their last prompts, as a list shows them."""
        return [shown(session.prompts[-1]) for session in self.matching(condition)]


def shown(prompt):
    return f"{prompt[:140]}…" if len(prompt) > 140 else prompt


def day(ago):
    """The day that was so many days before today."""
    return (datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=ago)).isoformat()


def prepare(gateway, session):
    """People, tokens and a second session of the owner's; then what they ask of models."""
    people = [
        {"username": "alice", "name": "Alice Archer", "email": "alice@example.com", "password": PASSWORD},
        {"username": "bob", "email": "bob@example.com", "password": PASSWORD, "roles": ["user-admin", "auditor"]},
        {"username": "robot", "is_service_account": True},
        {"username": LONG, "name": hostile.IMAGE, "email": f"{'long.' * 20}@example.com", "password": PASSWORD},
    ]
    scene = Scene(gateway, {user["username"]: gateway.made("/users", session, user)["id"] for user in people})
    ids = scene.ids
    ids["owner"] = gateway.call("GET", "/users/me", session)[1]["id"]
    assert gateway.call("PUT", "/users/bob/status/suspend", session)[0] == 200
    for owner, name in [("alice", "laptop"), ("robot", "nightly-build"), ("me", "a-name-" * 9), ("me", "desk")]:
        key = gateway.made(f"/users/{owner}/keys/tokens", session, {"token_name": name})["key"]
        ids["token"] = key.split("_")[1]
        scene.tokens[OWNER if owner == "me" else owner] = key
    key = gateway.made(f"/users/{LONG}/keys/tokens", session, {"token_name": hostile.MODEL})["key"]
    scene.tokens[LONG] = key
    record(scene)
    return scene


def record(scene):
    for ago, agent, model, person, cached in reversed(LONG_AGO + EARLIER):
        prompt = f"Asked of {model} by {person}, day {ago} before this"
        scene.ask(person, agent, model, prompt, ago=ago, sim=f"cached={cached} chunks={200 + cached // 100}")
    scene.sessions.sort(key=lambda session: -session.ago)
    unlucky(scene)
    from_hostile_clients(scene)
    many_threads(scene)
    at_length(scene)
    worked(scene)
    held = scene.client("robot", ANTHROPIC_SDK).hold(SONNET, "Is this the end?")
    scene.sessions.append(Session("robot", ANTHROPIC_SDK, {SONNET}, ["Is this the end?"]))
    with scene.gateway.killed():
        past.move(
            scene.gateway.database, {session.prompts[0]: session.ago for session in scene.sessions if session.ago}
        )
    held.close()
    find_ids(scene)


def unlucky(scene):
    """What goes wrong on the way."""
    for agent, model, prompt, sim in [
        (CLAUDE_CODE, OPUS, "An answer too many", "error=429 retry_after=2"),
        (OPENAI_SDK, GPT, "Nobody at home", "error=503"),
        (ANTHROPIC_SDK, SONNET, "Overloaded in the middle", "error_event_after=5"),
        (CODEX, GPT, "Cut by the provider", "break_after=4 break=mid_event"),
    ]:
        scene.ask("alice", agent, model, prompt, sim=sim, is_streamed=not sim.startswith("error="))
    client = scene.client("alice", CLAUDE_CODE)
    client.leave(SONNET, "The client has left")
    scene.sessions.append(Session("alice", CLAUDE_CODE, {SONNET}, ["The client has left"]))
    # What is closed on the way is recorded in its own time.
    processes.wait_for(lambda: not open_ones(scene.gateway), "the end of what a client has left")
    token = tokens.made_up(valid_checksum=True)
    scene.ask("alice", OPENAI_SDK, GPT, f"My token is {token}, is it not?")
    # What is recorded is no token.
    scene.sessions[-1].prompts = [f"My token is {token[:15]}..., is it not?"]
    # Of an answer that names as much, not everything is kept.
    scene.ask("alice", OPENAI_SDK, "m" * 300, "A name too long")
    scene.ask("alice", OPENAI_SDK, MINI, "Nothing\0 there", is_streamed=True)
    scene.sessions[-1].prompts = ["Nothing\ufffd there"]


def from_hostile_clients(scene):
    """Texts that would like to be more than texts, wherever there is place for one."""
    agent = CLAUDE_CODE._replace(user_agent=f"claude-cli/{hostile.VERSION} ({hostile.SCRIPT})")
    client = scene.client("alice", agent, hostile.IMAGE)
    asked = f"{hostile.SCRIPT} {hostile.IMAGE} {hostile.RIGHT_TO_LEFT} {hostile.EMOJI} {hostile.WORD}"
    tools = [
        (hostile.TOOL, schema(**{hostile.IMAGE: f"{hostile.SCRIPT} {hostile.WORD}"})),
        (hostile.WORD, schema(a="b")),
    ]
    answer = client.ask(hostile.MODEL, asked, sim="tools=2 reasoning", tools=tools)
    client.go_on(hostile.MODEL, client.calls(answer)[0])
    client.ask(hostile.BENT, asked, sim=hostile.SCRIPT)
    scene.sessions.append(Session("alice", CLAUDE_CODE, {hostile.MODEL, hostile.BENT}, [asked, asked], requests=3))
    scene.ask(LONG, OPENAI_SDK, hostile.WORD, hostile.WORD * 2, sim="cached=700")
    scene.ask(LONG, OPENAI_SDK, MINI, hostile.FORMULA)


def many_threads(scene):
    client = scene.client(OWNER, CODEX, "0199f0c2-many-threads")
    prompts = [f"Question {number} of twelve" for number in range(1, 13)]
    for prompt in prompts:
        client.ask(GPT, prompt, sim="cached=300")
    scene.sessions.append(Session(OWNER, CODEX, {GPT}, prompts, requests=12))


def at_length(scene):
    """One thread with more steps than are on one page, and a prompt that is longer than one."""
    prompt = "Begin at the beginning. " + "And then go on, until there is no more to say. " * 120
    client = scene.client("robot", OPENCODE, "ses_at_length")
    (call,) = client.calls(client.ask(MINI, prompt, sim="tools=1 cached=500", tools=[SHELL]))
    for number in range(31):
        client.go_on(MINI, call, sim=f"cached={500 + number * 40}")
    scene.sessions.append(Session("robot", OPENCODE, {MINI}, [prompt], requests=32))


def worked(scene):
    """A morning's work: tools in parallel, thoughts, two models, an own key."""
    client = scene.client("alice", CLAUDE_CODE, "5d7a3a4e-work")
    prompts = ["The test of the parser fails. Find out why, and mend it.", "Thank you. Now run all tests."]
    answer = client.ask(
        OPUS, prompts[0], sim="tools=3 reasoning cached=18200", tools=[READ, EDIT, SHELL], is_streamed=True
    )
    for call in client.calls(answer):
        client.go_on(OPUS, call, sim="cached=19400 reasoning")
    answer = client.ask(OPUS, prompts[1], sim="tools=1 cached=21000", tools=[SHELL], is_streamed=True)
    client.go_on("claude-haiku-4-5", client.calls(answer)[0], sim="cached=100")
    scene.sessions.append(Session("alice", CLAUDE_CODE, {OPUS, "claude-haiku-4-5"}, prompts, requests=6))
    prompt = "With a key of my own"
    scene.client("alice", ANTHROPIC_SDK, brings_key=True).ask(SONNET, prompt, sim="cached=40", is_streamed=True)
    scene.sessions.append(Session("alice", ANTHROPIC_SDK, {SONNET}, [prompt]))


def find_ids(scene):
    """The sessions and requests with pages that are looked at."""
    wanted = {
        "worked": "The test of the parser fails.%",
        "evil": f"{hostile.SCRIPT} %",
        "threads": "Question 1 of twelve",
        "length": "Begin at the beginning.%",
        "cut": "Cut by the provider",
        "overloaded": "Overloaded in the middle",
        "too_many": "An answer too many",
        "own_key": "With a key of my own",
        "left": "The client has left",
        "killed": "Is this the end?",
        "mended": "Nothing%there",
        "token_told": "My token is %",
        "wide": f"{hostile.WORD}%",
        "too_long": "A name too long",
    }
    with contextlib.closing(sqlite3.connect(f"file:{scene.gateway.database}?mode=ro", uri=True)) as database:
        for name, prompt in wanted.items():
            found = database.execute(
                "SELECT i.id, s.id FROM aibridge_interceptions AS i"
                " JOIN aibridge_user_prompts AS p ON p.interception_id = i.id"
                " JOIN aibridge_sessions AS s ON s.initiator_id = i.initiator_id AND s.session_id = i.session_id"
                " WHERE p.prompt LIKE ? ORDER BY i.id",
                [prompt],
            ).fetchall()
            assert found, f"nothing was recorded of {prompt!r}"
            scene.ids[f"{name}_request"], scene.ids[f"{name}_session"] = found[0]


def open_ones(gateway):
    with contextlib.closing(sqlite3.connect(f"file:{gateway.database}?mode=ro", uri=True)) as database:
        return database.execute("SELECT COUNT(*) FROM aibridge_interceptions WHERE ended_at IS NULL").fetchone()[0]
