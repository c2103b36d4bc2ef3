"""A dbt project in a directory, and dbt run in it.

project = Project(directory, address)
project.write("models/messages.sql", "select …")
project.run("run", "--select", "messages")          # AssertionError with what dbt said when it fails
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

PROGRAM = Path(sys.prefix).parent / "dbt" / "bin" / "dbt"
SCHEMA = "dbt"
SETTINGS = {
    "name": "customerio",
    "version": "1.0.0",
    "profile": "customerio",
    "flags": {"send_anonymous_usage_stats": False},
    "models": {"+persist_docs": {"relation": True, "columns": True}},
}


class Project:
    def __init__(self, directory: Path, address: str) -> None:
        self.directory = directory
        where = conninfo_to_dict(address)
        output = {
            "type": "postgres",
            "host": where["host"],
            "port": int(where["port"] or 5432),
            "user": where["user"],
            "password": where.get("password", ""),
            "dbname": where["dbname"],
            "schema": SCHEMA,
            "threads": 2,
        }
        # JSON is YAML.
        self.write("profiles.yml", {"customerio": {"target": "here", "outputs": {"here": output}}})
        self.write("dbt_project.yml", SETTINGS)

    def write(self, name: str, content: object) -> None:
        """A file of the project; what is no text is written as YAML."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))

    def run(self, *words: str, fails: bool = False) -> str:
        """What `dbt WORDS` said."""
        assert PROGRAM.is_file(), f"{PROGRAM} is missing: make clients fetches it"
        done = subprocess.run(
            [str(PROGRAM), "--no-use-colors", *words, "--profiles-dir", str(self.directory)],
            cwd=self.directory,
            env={**os.environ, "DO_NOT_TRACK": "1", "HOME": str(self.directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert bool(done.returncode) == fails, done.stdout[-4000:]
        return done.stdout

    def artifact(self, name: str) -> Any:
        """target/NAME as dbt wrote it: sources.json, run_results.json, catalog.json."""
        return json.loads((self.directory / "target" / name).read_text())
