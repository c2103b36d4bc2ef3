/* cio_fdw--0.1.0.sql */

-- complain if the script is sourced in psql rather than run by CREATE EXTENSION
\echo Use "CREATE EXTENSION cio_fdw" to load this file. \quit

create function cio_fdw_handler() returns fdw_handler
language c strict
as 'MODULE_PATHNAME';

comment on function cio_fdw_handler() is 'callbacks of the foreign data wrapper cio_fdw';

create function cio_fdw_validator(text[], oid) returns void
language c strict
as 'MODULE_PATHNAME';

comment on function cio_fdw_validator(text[], oid) is 'checks the options of servers, user mappings and foreign tables of cio_fdw';

create function cio_fdw_cache_clear(server name) returns bigint
language c strict
as 'MODULE_PATHNAME';

comment on function cio_fdw_cache_clear(name) is 'removes the answers of the API that are kept for a server (option cache_ttl), of every key; returns how many there were';

create function cio_fdw_cache_clear() returns bigint
language sql
return (
    select coalesce(sum(cio_fdw_cache_clear(s.srvname)), 0)::bigint
    from pg_catalog.pg_foreign_server s
    join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
    where w.fdwname = 'cio_fdw'
);

comment on function cio_fdw_cache_clear() is 'removes the answers of the API that are kept for all servers of cio_fdw; returns how many there were';

revoke execute on function cio_fdw_cache_clear(name), cio_fdw_cache_clear() from public;

create foreign data wrapper cio_fdw
handler cio_fdw_handler
validator cio_fdw_validator;

comment on foreign data wrapper cio_fdw is 'read endpoints of the Customer.io App API';
