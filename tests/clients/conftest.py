"""What the tests of clients share. Those that need more than the runtime are collected by `make clients` only.

psql   session   path of the server's psql, or of the one that is installed
"""

from __future__ import annotations

import os
import shutil
import site
import sys
from pathlib import Path

import pytest

from cio_fdw.server.postgres import installation

FETCHED = Path(sys.prefix).parent
"""The runtime: clients/ and dbt/ in it are made by tools/clients.sh."""

MORE = ["test_dbt.py", "test_jdbc.py", "test_jdbc_metadata.py", "test_odbc.py", "test_pandas.py", "test_sqlalchemy.py"]
collect_ignore = [] if os.environ.get("CIO_CLIENTS") else MORE

if os.environ.get("CIO_CLIENTS"):
    # Behind the runtime's own packages, which the rest of the suite was locked with.
    site.addsitedir(str(next((FETCHED / "clients" / "lib").glob("python3.*")) / "site-packages"))


@pytest.fixture(scope="session")
def psql(pg_config: Path) -> str:
    own = installation(pg_config).bin_dir / "psql"
    found = str(own) if own.is_file() else shutil.which("psql")
    if found is None:
        pytest.skip("psql is not installed: apt-get install postgresql-client")
    return found
