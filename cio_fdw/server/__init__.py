"""A private PostgreSQL server with the extension in it: found, built, started, set up."""
