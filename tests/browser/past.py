"""Moves what was recorded to earlier days, in the database of a gateway that does not run.

The ids of what is recorded hold the time (UUIDv7), and lists are in their order; so they are moved, too.
"""

import contextlib
import sqlite3

DAY = 86_400_000

# Where such ids stand.
COLUMNS = [
    ("aibridge_interceptions", "id"),
    ("aibridge_interceptions", "thread_parent_id"),
    ("aibridge_interceptions", "thread_root_id"),
    ("aibridge_interceptions", "session_id"),
    ("aibridge_sessions", "id"),
    ("aibridge_sessions", "session_id"),
    ("aibridge_user_prompts", "interception_id"),
    ("aibridge_token_usages", "interception_id"),
    ("aibridge_tool_usages", "interception_id"),
    ("aibridge_model_thoughts", "interception_id"),
]

# As the gateway keeps them, interception by interception.
USAGE = """
INSERT INTO aibridge_usage_days
SELECT i.started_at / 86400000000, i.initiator_id, i.provider_name, i.model, i.client, MAX(i.initiator_username),
  COUNT(*), SUM(i.outcome IN ('provider_error', 'provider_broke', 'gateway_error', 'interrupted')),
  TOTAL(u.input_tokens), TOTAL(u.output_tokens), TOTAL(u.cache_read_input_tokens), TOTAL(u.cache_write_input_tokens),
  TOTAL(u.reasoning_tokens), SUM(i.outcome = 'completed' AND i.first_byte_at IS NOT NULL),
  TOTAL(CASE WHEN i.outcome = 'completed' THEN i.first_byte_at - i.started_at END)
FROM aibridge_interceptions AS i LEFT JOIN aibridge_token_usages AS u ON u.interception_id = i.id
WHERE i.ended_at IS NOT NULL GROUP BY 1, 2, 3, 4, 5
"""


def move(file, days):
    """`days` says by the prompt of an interception by how many days its whole session is moved."""
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        for prompt, by in days.items():
            _move_session(database, prompt, by * DAY)
        sums = "SELECT SUM(requests), SUM(errors), SUM(first_bytes), SUM(first_byte_micros) FROM aibridge_usage_days"
        before = database.execute(sums).fetchone()
        database.execute("DELETE FROM aibridge_usage_days")
        database.execute(USAGE)
        after = database.execute(sums).fetchone()
        assert before == after, "these sums are no longer made as the gateway makes them"


def _move_session(database, prompt, by):
    found = database.execute(
        "SELECT DISTINCT i.initiator_id, i.session_id FROM aibridge_interceptions AS i"
        " JOIN aibridge_user_prompts AS p ON p.interception_id = i.id WHERE p.prompt = ?",
        [prompt],
    ).fetchall()
    assert len(found) == 1, f"{len(found)} sessions with the prompt {prompt!r}"
    rows = database.execute(
        "SELECT id FROM aibridge_interceptions WHERE initiator_id = ? AND session_id = ?", found[0]
    ).fetchall()
    for (old,) in rows:
        database.execute(
            "UPDATE aibridge_interceptions SET started_at = started_at - ?1, first_byte_at = first_byte_at - ?1,"
            " ended_at = ended_at - ?1 WHERE id = ?2",
            [by * 1000, old],
        )
        new = _earlier(old, by)
        for table, column in COLUMNS:
            database.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [new, old])


def _earlier(old, by):
    millis = int(old[:8] + old[9:13], 16) - by
    return f"{millis >> 16:08x}-{millis & 0xFFFF:04x}{old[13:]}"
