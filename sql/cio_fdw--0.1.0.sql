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

create foreign data wrapper cio_fdw
handler cio_fdw_handler
validator cio_fdw_validator;

comment on foreign data wrapper cio_fdw is 'read endpoints of the Customer.io App API';
