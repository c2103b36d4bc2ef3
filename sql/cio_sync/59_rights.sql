-- Rights that a command will need, asked for before it: what PostgreSQL says later names no command that helps.

create function cio._refuse_right(what text, hint text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'cio: permission denied for %', what using errcode = 'insufficient_privilege', hint = hint;
end $$;

comment on function cio._refuse_right(text, text) is 'an error about a missing right, with the command that gives it';

create function cio._check_readable(wanted regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    schema name := (select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = wanted);
begin
    if not has_schema_privilege(schema, 'USAGE') then
        perform cio._refuse_right(format('schema %I', schema), format('GRANT USAGE ON SCHEMA %I TO %I;', schema, current_user));
    elsif not has_any_column_privilege(wanted, 'SELECT') then
        perform cio._refuse_right('table ' || wanted, format('GRANT SELECT ON %s TO %I;', wanted, current_user));
    end if;
end $$;

comment on function cio._check_readable(regclass) is 'an error when the caller cannot read a table that is there';

create function cio._check_makeable(schema name) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (select from pg_namespace n where n.nspname = schema) then
        if not has_database_privilege(current_database(), 'CREATE') then
            perform cio._refuse_right(format('database %I', current_database()),
                format('CREATE SCHEMA %I AUTHORIZATION %I;', schema, current_user));
        end if;
    elsif not (has_schema_privilege(schema, 'USAGE') and has_schema_privilege(schema, 'CREATE')) then
        perform cio._refuse_right(format('schema %I', schema), format('GRANT USAGE, CREATE ON SCHEMA %I TO %I;', schema, current_user));
    end if;
end $$;

comment on function cio._check_makeable(name) is 'an error when the caller cannot make tables in a schema, which need not be there yet';

create function cio._may_refresh_matview(mv regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- PostgreSQL 17 gave that right a name.
    select cio._is_owner(mv)
        or case when current_setting('server_version_num')::int >= 170000 then has_table_privilege(mv, 'MAINTAIN') else false end
$$;

comment on function cio._may_refresh_matview(regclass) is 'whether the caller may refresh a materialized view';
