"""Every page that can be opened by its address. To have a new one looked at, add a line.

Each is opened in light and dark, narrow and wide; it must be accessible, fit, ask nobody else for anything, and break
no policy. `{alice}` and the like stand for ids (see `scene.py`).
"""

from typing import NamedTuple


class Page(NamedTuple):
    # Of its picture.
    name: str
    address: str
    is_for_visitors: bool = False


PAGES = [
    Page("login", "/login", is_for_visitors=True),
    Page("login-next", "/login?next=%2Fusers", is_for_visitors=True),
    Page("signed-out", "/login?signed_out=1", is_for_visitors=True),
    Page("not-found", "/nowhere"),
    Page("cli-auth", "/cli-auth"),
    Page("cli-auth-done", "/cli-auth/done"),
    # The AI gateway.
    Page("ai-sessions", "/ai-gateway/sessions"),
    Page("ai-sessions-filtered", "/ai-gateway/sessions?model=claude-opus-4-5&text=ASKED&person=alice"),
    Page("ai-sessions-none", "/ai-gateway/sessions?text=never+asked"),
    Page("ai-session", "/ai-gateway/sessions/{worked_session}"),
    Page("ai-session-threads", "/ai-gateway/sessions/{threads_session}"),
    Page("ai-session-length", "/ai-gateway/sessions/{length_session}"),
    Page("ai-session-thread", "/ai-gateway/sessions/{length_session}?thread={length_request}&step=25"),
    Page("ai-session-hostile", "/ai-gateway/sessions/{evil_session}"),
    Page("ai-session-wide", "/ai-gateway/sessions/{wide_session}"),
    Page("ai-session-error", "/ai-gateway/sessions/{too_many_session}"),
    Page("ai-session-broken", "/ai-gateway/sessions/{cut_session}"),
    Page("interception", "/ai-gateway/interceptions/{worked_request}"),
    Page("interception-hostile", "/ai-gateway/interceptions/{evil_request}"),
    Page("usage", "/ai-gateway/usage"),
    Page("usage-weeks", "/ai-gateway/usage?by=week"),
    Page("usage-months", "/ai-gateway/usage?by=month"),
    Page("usage-person", "/ai-gateway/usage?by=day&person=alice"),
    Page("usage-nobody", "/ai-gateway/usage?by=day&person=bob"),
    Page("providers", "/ai-gateway/providers"),
    Page("proxy", "/ai-gateway/proxy"),
    Page("audit", "/audit"),
    # Account.
    Page("tokens", "/settings/tokens"),
    Page("token-new", "/settings/tokens/new"),
    Page("token-delete", "/settings/tokens/{token}/delete"),
    Page("sessions", "/settings/sessions"),
    Page("password", "/settings/password"),
    # People.
    Page("people", "/users"),
    Page("people-filtered", "/users?kind=service&status=active"),
    Page("people-none", "/users?q=nobody"),
    Page("person-new", "/users/new"),
    Page("person", "/users/{alice}"),
    Page("person-self", "/users/{owner}"),
    Page("service-account", "/users/{robot}"),
    Page("person-suspend", "/users/{alice}/suspend"),
    Page("person-delete", "/users/{alice}/delete"),
    Page("person-password", "/users/{alice}/password"),
    Page("person-token-new", "/users/{alice}/tokens/new"),
]
