-- Changing, pausing, forgetting, removing.

create function cio.alter_mirror(
    target regclass,
    source regclass default null,
    bucket interval default null,
    tiers jsonb default null,
    start_time timestamptz default null,
    retention interval default null,
    deletes text default null,
    max_delete_fraction float8 default null,
    on_new_column text default null
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    old cio.mirror_def := cio._own_mirror(target);
    m cio.mirror_def;
begin
    -- Waits for the units at work, which read by the old definition, and keeps others from beginning.
    perform from cio.mirror_def d where d.mirror_id = old.mirror_id for update;
    old := cio._own_mirror(target);
    m := old;
    m.source := coalesce(source, m.source);
    m.page_source := case when m.mode = 'cursor' then cio._page_source(m.source) end;
    m.bucket := coalesce(bucket, m.bucket);
    m.tiers := coalesce(tiers, m.tiers);
    m.start_time := coalesce(start_time, m.start_time);
    m.retention := coalesce(retention, m.retention);
    m.deletes := coalesce(deletes, m.deletes);
    m.max_delete_fraction := coalesce(max_delete_fraction, m.max_delete_fraction);
    m.on_new_column := coalesce(on_new_column, m.on_new_column);
    m := cio._check_definition(m, 'alter_mirror', array[target::text], jsonb_strip_nulls(jsonb_build_object(
        'source', source::text, 'bucket', bucket::text, 'tiers', tiers::text, 'start_time', start_time::text, 'retention', retention::text,
        'deletes', deletes, 'max_delete_fraction', max_delete_fraction::text, 'on_new_column', on_new_column)));
    perform cio._check_types(m);
    update cio.mirror_def d
    set source = m.source, page_source = m.page_source, bucket = m.bucket, tiers = m.tiers, tier_ages = m.tier_ages,
        tier_periods = m.tier_periods, lookback = m.lookback, start_time = m.start_time, retention = m.retention,
        deletes = m.deletes, max_delete_fraction = m.max_delete_fraction, on_new_column = m.on_new_column
    where d.mirror_id = m.mirror_id;
    if m.mode = 'window' then
        perform cio._reopen_first(old, m.start_time);
        if m.bucket <> old.bucket then
            perform cio._regrid(m);
        end if;
        -- What was never read and is not wanted any more is no gap.
        delete from cio.bucket b where b.mirror_id = m.mirror_id and b.fetched_at is null and b.hi <= m.start_time;
        if exists (select from cio.bucket b where b.mirror_id = m.mirror_id) then
            perform cio._plan_buckets(m, cio._now());
        end if;
    end if;
    if m.bucket <> old.bucket or m.source <> old.source then
        perform cio._make_views(m);
    end if;
end $$;

comment on function cio.alter_mirror(regclass, regclass, interval, jsonb, timestamptz, interval, text, float8, text) is
'changes a mirror; null keeps what is';

create function cio._regrid(m cio.mirror_def) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    -- What a new bucket promises is the least of what those below it promised; one that they do not cover is read again.
    with old as materialized (
        delete from cio.bucket b where b.mirror_id = m.mirror_id returning b.*
    ), ends as (
        select date_bin(m.bucket, min(lo), m.origin) at time zone 'UTC' as lo, max(hi) as hi from old
    ), grid as (
        select u at time zone 'UTC' as lo, (u + m.bucket) at time zone 'UTC' as hi, e.hi as newest
        from ends e, generate_series(e.lo, (e.hi - interval '1 microsecond') at time zone 'UTC', m.bucket) u
    )
    insert into cio.bucket (mirror_id, lo, hi, fetched_at, invalid, suspect, rows_seen)
    select m.mirror_id, g.lo, g.hi,
           case when bool_and(o.fetched_at is not null) then min(o.fetched_at) end,
           bool_and(o.fetched_at is not null)
               and (bool_or(o.invalid)
                    or sum(greatest(interval '0', least(o.hi, g.hi) - greatest(o.lo, g.lo, m.start_time)))
                       < least(g.hi, min(g.newest)) - greatest(g.lo, m.start_time)),
           bool_or(o.suspect),
           sum(o.rows_seen * least(1, extract(epoch from m.bucket) / extract(epoch from o.hi - o.lo)))::int
    from grid g join old o on o.lo < g.hi and o.hi > g.lo
    group by g.lo, g.hi
$$;

comment on function cio._regrid(cio.mirror_def) is 'the ledger again, with buckets of another length';

create function cio.unmirror(target regclass, drop_table boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    doomed regclass[] := cio._views_of(target);
    view regclass;
    dependents text;
begin
    -- First the row: it waits for a refresh that is reading.
    delete from cio.mirror_def d where d.mirror_id = m.mirror_id;
    perform cio._drop_schedule(target);
    foreach view in array doomed loop
        execute format('drop view %s', view);
    end loop;
    if drop_table then
        doomed := doomed || target;
        execute format('drop table %s', target);
    end if;
exception when dependent_objects_still_exist then
    get stacked diagnostics dependents = pg_exception_detail;
    raise exception 'cio: other objects depend on %', array_to_string(doomed, ', ')
        using errcode = 'dependent_objects_still_exist', detail = dependents, hint = cio._drop_dependents(doomed);
end $$;

comment on function cio.unmirror(regclass, boolean) is
'ends a mirror: its state and its views go, the local table stays unless drop_table';

create function cio.pause(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._own_mirror(target);
    update cio.mirror_def d set paused = true where d.target = pause.target and not d.paused;
end $$;

comment on function cio.pause(regclass) is 'until cio.resume no refresh reads for this mirror; one at work stops after its unit';

create function cio.resume(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._own_mirror(target);
    update cio.mirror_def d set paused = false where d.target = resume.target and d.paused;
end $$;

comment on function cio.resume(regclass) is 'ends cio.pause';

create function cio.invalidate(target regclass, lo timestamptz default '-infinity', hi timestamptz default 'infinity') returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    n int;
begin
    update cio.bucket b
    set invalid = b.fetched_at is not null, attempted_at = null, next_attempt_at = null
    where b.mirror_id = m.mirror_id and b.lo < coalesce(invalidate.hi, 'infinity')
      and b.hi > coalesce(invalidate.lo, '-infinity') and not cio._is_frozen(m, b, cio._now());
    get diagnostics n = row_count;
    return n;
end $$;

comment on function cio.invalidate(regclass, timestamptz, timestamptz) is
'makes the buckets of a range due, so that the next refresh reads them; how many they are';

create function cio.reset(target regclass, truncate boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
begin
    delete from cio.bucket b where b.mirror_id = m.mirror_id;
    delete from cio.segment s where s.mirror_id = m.mirror_id;
    if truncate then
        execute format('truncate %s', target);
    end if;
end $$;

comment on function cio.reset(regclass, boolean) is
'forgets what was read, so that the next refresh reads everything that the source still has; truncate empties the table too';

create function cio.forget(target regclass, variadic key text[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    n bigint;
begin
    if cardinality(m.key_columns) = 1 then
        execute format('delete from %s t where t.%I::text = any ($1)', target, m.key_columns[1]) using key;
    elsif cardinality(m.key_columns) = cardinality(key) then
        execute format('delete from %s t where (%s) = (%s)', target, cio._list(m.key_columns, 't.%I::text'),
            (select string_agg(format('$1[%s]', i), ', ') from generate_subscripts(key, 1) i)) using key;
    else
        perform cio._bad(format('the key of %s has %s parts, not %s', target, cardinality(m.key_columns), cardinality(key)),
            format('SELECT cio.forget(%L, %s);', target, cio._list(m.key_columns, '''%I''')));
    end if;
    get diagnostics n = row_count;
    return n;
end $$;

comment on function cio.forget(regclass, text[]) is
'erases rows by key, for an erasure request; how many there were. Erase at the source first, or the next reading brings them back';
