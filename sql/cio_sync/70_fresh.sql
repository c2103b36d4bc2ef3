-- Two views beside each local table: how fresh each row is, and the rows with the newest read through.

create function cio._view_name(target regclass, suffix text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%I.%I', n.nspname, left(c.relname, 63 - length(suffix)) || suffix)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = target
$$;

comment on function cio._view_name(regclass, text) is 'the name of a view beside a local table';

create function cio._views_of(target regclass) returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(array_agg(c.oid::regclass), '{}')
    from pg_class c
    where c.relkind = 'v'
      and c.oid in (to_regclass(cio._view_name(target, '_fresh')), to_regclass(cio._view_name(target, '_live')))
      and exists (select from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid
                  where r.ev_class = c.oid and d.refobjid = target)
$$;

comment on function cio._views_of(regclass) is 'the views that cio.mirror made beside a local table';

create function cio._row_columns(view text, target regclass, added text[]) returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- A view can only grow at its end: those that it has come first, in their order.
    with wanted as (
        select a.attname::text as name, a.attnum::int as n
        from pg_attribute a where a.attrelid = target and a.attnum > 0 and not a.attisdropped
        union all
        select u.name, 10000 + u.n::int from unnest(added) with ordinality u(name, n))
    select array_agg(w.name order by v.attnum nulls last, w.n)
    from wanted w
    left join pg_attribute v on v.attrelid = to_regclass(view) and v.attname = w.name
$$;

comment on function cio._row_columns(text, regclass, text[]) is 'the columns of a view in the order in which it can be replaced';

create function cio._fresh_name(target regclass, name text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when exists (select from pg_attribute a where a.attrelid = target and a.attname = name and not a.attisdropped)
                then '_' || name else name end
$$;

comment on function cio._fresh_name(regclass, text) is 'the name of an added column: with an underscore when the rows have a column of that name';

create function cio._make_views(m cio.mirror_def) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    fresh text := cio._view_name(m.target, '_fresh');
    live text := cio._view_name(m.target, '_live');
    as_of text := cio._fresh_name(m.target, 'fresh_as_of');
    status text := cio._fresh_name(m.target, 'status');
    columns name[] := cio._shared_columns(m);
    taken regclass;
begin
    select v.name::regclass into taken
    from unnest(array[fresh, case when m.mode = 'window' then live end]) v(name)
    where to_regclass(v.name) is not null and to_regclass(v.name) <> all (cio._views_of(m.target)) limit 1;
    if taken is not null then
        raise exception 'cio: % exists and is not a view of the mirror %', taken, m.target
            using errcode = 'duplicate_table',
                hint = format('ALTER TABLE %s RENAME TO %I;', taken,
                              (select left(c.relname, 59) || '_old' from pg_class c where c.oid = taken));
    end if;
    execute format('create or replace view %s as select %s from %s t %s', fresh,
        (select string_agg(case c
             when as_of then case when m.mode = 'cursor' then 't._changed_at' else 'b.fetched_at' end || format(' as %I', c)
             when status then format('case when t._deleted_at is not null then ''deleted'' else %s end as %I',
                 case when m.mode = 'cursor' then '''settled''' else 'cio._status(d, b, cio._now())' end, c)
             else format('t.%I', c) end, ', ' order by n)
         from unnest(cio._row_columns(fresh, m.target, array[as_of, status])) with ordinality u(c, n)),
        m.target,
        case when m.mode = 'cursor' then ''
             else format('left join (cio.mirror_def d join cio.bucket b on b.mirror_id = d.mirror_id) on d.mirror_id = %s and b.lo = %s',
                 m.mirror_id,
                 case when m.mode = 'window' then format('date_bin(%L::interval, t.%I, %L::timestamptz)', m.bucket, m.time_column, m.origin)
                      else '''-infinity''::timestamptz' end) end);
    execute format('comment on view %s is %L', fresh,
        'each row of ' || m.target || ' with the time at which it was last known to be as it is, and the state of its bucket');
    if m.mode = 'window' then
        execute format('create or replace view %s as select %s from %s where %I < cio.frontier(%L::regclass) and _deleted_at is null
                union all select %2$s from %6$s where %4$I >= cio.frontier(%5$L::regclass)',
            live, cio._list(columns, '%I'), m.target, m.time_column, m.target, m.source);
        execute format('comment on view %s is %L', live,
            'the rows of ' || m.target || ' as far as they are complete, and those of ' || m.source || ' from there on');
    end if;
end $$;

comment on function cio._make_views(cio.mirror_def) is 'the views beside the local table, new or again';
