"""What is there before anything is looked at, and the ids that the addresses of pages need."""

from gateway import PASSWORD


def prepare(gateway, session):
    """People, tokens and a second session of the owner's; the ids by the names that `pages.py` uses."""
    people = [
        {"username": "alice", "name": "Alice Archer", "email": "alice@example.com", "password": PASSWORD},
        {"username": "bob", "email": "bob@example.com", "password": PASSWORD, "roles": ["user-admin", "auditor"]},
        {"username": "robot", "is_service_account": True},
        {"username": "a-name-as-long-as-a-name-can-be1", "email": f"{'long.' * 20}@example.com", "password": PASSWORD},
    ]
    ids = {user["username"]: gateway.made("/users", session, user)["id"] for user in people}
    ids["owner"] = gateway.call("GET", "/users/me", session)[1]["id"]
    assert gateway.call("PUT", "/users/bob/status/suspend", session)[0] == 200
    for owner, name in [("alice", "laptop"), ("robot", "nightly-build"), ("me", "a-name-" * 9), ("me", "desk")]:
        key = gateway.made(f"/users/{owner}/keys/tokens", session, {"token_name": name})["key"]
        ids["token"] = key.split("_")[1]
    return ids
