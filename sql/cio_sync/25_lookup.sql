-- Finding a mirror, or saying what is wrong and which command helps.

create function cio._mirror(wanted regclass) returns cio.mirror_def
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def;
begin
    if wanted is null then
        raise exception 'cio: no table was named'
            using errcode = 'null_value_not_allowed', hint = 'SELECT target FROM cio.mirrors;';
    end if;
    select d.* into m from cio.mirror_def d where d.target = wanted;
    if m.mirror_id is null then
        raise exception 'cio: % is not a mirror', wanted
            using errcode = 'undefined_object',
                hint = case when exists (select from pg_foreign_table f where f.ftrelid = wanted)
                            then format('SELECT cio.mirror(%L, %L);', wanted, 'analytics.' || (select quote_ident(c.relname) from pg_class c where c.oid = wanted))
                            else 'SELECT target, source FROM cio.mirrors;' end;
    end if;
    return m;
end $$;

comment on function cio._mirror(regclass) is 'the mirror whose local table this is, if the caller may see it';

create function cio._own_mirror(wanted regclass) returns cio.mirror_def
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._mirror(wanted);
begin
    if not cio._is_owner(m.target) then
        raise exception 'cio: must be owner of table %', wanted
            using errcode = 'insufficient_privilege',
                hint = format('SET ROLE %I;', (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = wanted));
    end if;
    return m;
end $$;

comment on function cio._own_mirror(regclass) is 'the same, for what only its owner may do';

create function cio._options(wanted regclass) returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_object_agg(split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), '{}')
    from pg_foreign_table t
    join pg_foreign_server s on s.oid = t.ftserver,
    unnest(coalesce(s.srvoptions, '{}') || coalesce(t.ftoptions, '{}')) with ordinality u(o, n)
    where t.ftrelid = wanted
$$;

comment on function cio._options(regclass) is 'options of a foreign table and its server';

create function cio._endpoint_of(wanted regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(cio._options(c.oid)->>'endpoint', c.relname) from pg_class c where c.oid = wanted
$$;

comment on function cio._endpoint_of(regclass) is 'which endpoint of the catalog a foreign table shows: its option, or else its name';

create function cio._is_paged(wanted regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*) = 2
    from pg_attribute a
    where a.attrelid = wanted and a.attname in ('page', 'next_page') and a.atttypid = 'text'::regtype and not a.attisdropped
$$;

comment on function cio._is_paged(regclass) is 'whether the table tells the page of each row, and can be asked for one page';

create function cio._columns(wanted regclass) returns table (name name, type text, number int)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select a.attname, format_type(a.atttypid, a.atttypmod), a.attnum::int
    from pg_attribute a
    where a.attrelid = wanted and a.attnum > 0 and not a.attisdropped
      and not (a.attname in ('page', 'next_page') and cio._is_paged(wanted))
    order by a.attnum
$$;

comment on function cio._columns(regclass) is 'the columns that a mirror copies, in order: all but the page tokens of a feed';
