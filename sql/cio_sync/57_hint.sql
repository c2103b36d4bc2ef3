-- The command in a hint: the call that failed, with the one argument that would do.

create function cio._call(verb text, firsts text[], given jsonb, name text, value text) returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select format('SELECT cio.%s(%s);', verb, string_agg(a.part, ', ' order by a.n))
    from (
        select format('%L', u.first) as part, u.n from unnest(firsts) with ordinality u(first, n)
        union all
        select format('%s => %L', e.key, e.value), 1000
        from jsonb_each_text(given || jsonb_build_object(_call.name, _call.value)) e
        where e.value is not null) a
$$;

comment on function cio._call(text, text[], jsonb, text, text) is
'the call of cio.mirror or cio.alter_mirror with what was given, but for one argument; by position what the array holds';

create function cio._look_at_columns(wanted regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = %L::regclass AND attnum > 0;', wanted)
$$;

comment on function cio._look_at_columns(regclass) is 'the command that shows the columns of a table';

create function cio._likely_key(wanted regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array[c.name]::text from cio._columns(wanted) c order by c.name <> 'id', c.number limit 1
$$;

comment on function cio._likely_key(regclass) is 'a key to propose: the column id, or else the first one';

create function cio._likely_time(wanted regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.name from cio._columns(wanted) c where c.type = 'timestamp with time zone'
    order by c.name <> 'created', c.number limit 1
$$;

comment on function cio._likely_time(regclass) is 'a time column to propose; null when there is none';

create function cio._drop_dependents(relations regclass[]) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Views upon views; what else may depend on them goes by the last command.
    with recursive found as (
        select r.ev_class as oid, 1 as depth
        from pg_depend d join pg_rewrite r on r.oid = d.objid
        where d.classid = 'pg_rewrite'::regclass and d.refclassid = 'pg_class'::regclass
          and d.refobjid = any (relations::oid[]) and r.ev_class <> all (relations::oid[])
        union
        select r.ev_class, f.depth + 1
        from found f join pg_depend d on d.refobjid = f.oid and d.refclassid = 'pg_class'::regclass
        join pg_rewrite r on r.oid = d.objid and d.classid = 'pg_rewrite'::regclass
        where r.ev_class <> f.oid and f.depth < 100)
    select coalesce(
        string_agg(format('DROP %s %s;', case when c.relkind = 'm' then 'MATERIALIZED VIEW' else 'VIEW' end, c.oid::regclass), ' '
                   order by f.depth desc, c.oid),
        (select string_agg(format('DROP %s %s CASCADE;', case when c.relkind = 'v' then 'VIEW' else 'TABLE' end, c.oid::regclass), ' '
                           order by c.relkind = 'v' desc)
         from pg_class c where c.oid = any (relations::oid[])))
    from (select x.oid, max(x.depth) as depth from found x group by x.oid) f join pg_class c on c.oid = f.oid
$$;

comment on function cio._drop_dependents(regclass[]) is
'the commands that drop the views upon these relations; or the relations with all that depends on them, when no view does';
