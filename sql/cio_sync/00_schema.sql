-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION cio_sync" to load this file. \quit

-- Owned by the extension, and refused when somebody else made a schema of that name before.
create schema cio;

comment on schema cio is 'local tables kept in step with foreign tables: cio.mirror, cio.refresh';

grant usage on schema cio to public;
