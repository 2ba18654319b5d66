"""What the gateway has recorded, read from its SQLite file beside the running server.

The end of an answer is released when its record is committed, so whatever a client has received to the end is here.
"""

import contextlib
import sqlite3


class Recorded:
    """One interception with what belongs to it."""

    def __init__(self, database, row):
        self.row = row
        prompts, usages, self.tools, self.thoughts = (
            all_of(database, f"SELECT * FROM aibridge_{table} WHERE interception_id = ? ORDER BY {order}", row["id"])
            for table, order in (
                ("user_prompts", "created_at"),
                ("token_usages", "created_at"),
                ("tool_usages", "ordinal"),
                ("model_thoughts", "ordinal"),
            )
        )
        # The interception is their key.
        self.prompt = prompts[0]["prompt"] if prompts else None
        self.usage = usages[0] if usages else None


class Records:
    """The interceptions of one gateway since this was made or last asked."""

    def __init__(self, gateway):
        self.file = gateway.folder / "server" / "coder.db"
        self.last = ""
        self.new()

    def new(self):
        with contextlib.closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            query = "SELECT * FROM aibridge_interceptions WHERE id > ? ORDER BY id"
            found = [Recorded(database, row) for row in all_of(database, query, self.last)]
        if found:
            self.last = found[-1].row["id"]
        return found

    def only(self):
        """The one new interception, which has ended."""
        (recorded,) = self.new()
        assert recorded.row["outcome"] == "completed"
        return recorded


def all_of(database, query, argument):
    return [dict(row) for row in database.execute(query, (argument,))]
