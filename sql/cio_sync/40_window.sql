-- Window and snapshot mode: buckets.

create function cio._planned(m cio.mirror_def, now timestamptz) returns table (lo timestamptz, hi timestamptz)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz := m.start_time;
    newest timestamptz;
begin
    if m.mode <> 'window' then
        return query select '-infinity'::timestamptz, 'infinity'::timestamptz
        where not exists (select from cio.bucket b where b.mirror_id = m.mirror_id);
        return;
    end if;
    -- Of the bucket in which the retention ends a part is gone already: the first is the one after it.
    if m.retention is not null then
        first := greatest(m.start_time, cio._plus(date_bin(m.bucket, cio._plus(now, -m.retention), m.origin), m.bucket));
    end if;
    -- What passed the retention while nothing was refreshed is in the ledger too, as lost.
    select max(b.hi) into newest from cio.bucket b where b.mirror_id = m.mirror_id;
    first := greatest(least(first, newest), m.start_time);
    return query
    select g.lo, cio._plus(g.lo, m.bucket)
    from (
        select u at time zone 'UTC' as lo
        from generate_series(date_bin(m.bucket, first, m.origin) at time zone 'UTC', now at time zone 'UTC', m.bucket) u) g
    where not exists (select from cio.bucket b where b.mirror_id = m.mirror_id and b.lo = g.lo);
end $$;

comment on function cio._planned(cio.mirror_def, timestamptz) is
'the buckets that time has brought, or an earlier start, and that the ledger lacks; on a grid of UTC, whoever asks';

create function cio._plan_buckets(m cio.mirror_def, now timestamptz) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into cio.bucket (mirror_id, lo, hi)
    select m.mirror_id, p.lo, p.hi from cio._planned(m, now) p
    on conflict do nothing
$$;

comment on function cio._plan_buckets(cio.mirror_def, timestamptz) is 'writes the planned buckets into the ledger, and no others';

create function cio._units_due(m cio.mirror_def, now timestamptz) returns int
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*)::int
    from cio.bucket b
    where b.mirror_id = m.mirror_id
      and (cio._is_due(m, b, now)
           or (m.mode = 'cursor' and coalesce(b.next_attempt_at <= now, true) and cio._open_segment(m) is not null))
$$;

comment on function cio._units_due(cio.mirror_def, timestamptz) is 'how many buckets a refresh would read';

create function cio._claim(m cio.mirror_def, r cio.run) returns cio.bucket
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    found_bucket cio.bucket;
    now timestamptz := cio._now();
begin
    if m.mode = 'cursor' then
        return cio._claim_feed(m, r, now);
    elsif r.kind = 'refresh' then
        -- Not one that this run has tried: the newest is due again at once when its tier is short.
        select b.* into found_bucket
        from cio.bucket b
        where b.mirror_id = m.mirror_id and (b.attempted_at is null or b.attempted_at < r.started_at)
          and cio._is_due(m, b, now)
        order by b.lo desc limit 1
        for no key update skip locked;
    elsif r.kind = 'range' then
        select b.* into found_bucket
        from cio.bucket b
        where b.mirror_id = m.mirror_id and b.lo < r.range_hi and b.hi > r.range_lo
          and (r.position is null or b.lo < r.position) and not cio._is_frozen(m, b, now)
        order by b.lo desc limit 1
        for no key update;
    else
        return cio._claim_past(m, r, now);
    end if;
    return found_bucket;
end $$;

comment on function cio._claim(cio.mirror_def, cio.run) is
'the bucket that a run reads next, the newest first, locked for this transaction; null when there is none';

create function cio._claim_past(m cio.mirror_def, r cio.run, now timestamptz) returns cio.bucket
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    b cio.bucket;
    edge timestamptz;
begin
    -- First what a backfill began and did not end, and no refresh would read.
    select x.* into b
    from cio.bucket x
    where x.mirror_id = m.mirror_id and cio._is_past(m, x, now) and x.hi > r.range_lo
      and (x.attempted_at is null or x.attempted_at < r.started_at)
    order by x.lo desc limit 1
    for no key update skip locked;
    while b.mirror_id is null loop
        select coalesce(min(x.lo), cio._plus(date_bin(m.bucket, now, m.origin), m.bucket)) into edge
        from cio.bucket x where x.mirror_id = m.mirror_id;
        exit when edge <= r.range_lo;
        insert into cio.bucket (mirror_id, lo, hi) values (m.mirror_id, cio._plus(edge, -m.bucket), edge)
        on conflict do nothing -- another backfill has taken it: the one below
        returning * into b;
    end loop;
    -- From here on the mirror begins there: should the reading fail, a refresh tries again.
    update cio.mirror_def d set start_time = greatest(b.lo, r.range_lo)
    where b.mirror_id is not null and d.mirror_id = m.mirror_id and d.start_time > greatest(b.lo, r.range_lo);
    return b;
end $$;

comment on function cio._claim_past(cio.mirror_def, cio.run, timestamptz) is
'the bucket that a backfill reads next, and the start of the mirror moved down to it; null when there is none';

create function cio._is_past(m cio.mirror_def, b cio.bucket, now timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select (b.fetched_at is null or b.invalid) and (b.lo <= m.start_time or cio._is_frozen(m, b, now))
$$;

comment on function cio._is_past(cio.mirror_def, cio.bucket, timestamptz) is
'whether the bucket is unread and belongs to a backfill: where the mirror begins, or beyond what a refresh asks for';

create function cio._read_bucket(m cio.mirror_def, r cio.run, b cio.bucket, now timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    seen bigint;
    inserted bigint;
    updated bigint;
    deleted bigint;
    withheld bigint;
    requests int;
begin
    execute cio._apply_sql(m)
    into seen, requests, inserted, updated, deleted, withheld
    using greatest(b.lo, m.start_time), least(b.hi, now), now, r.force, cio._may_delete(m, b.lo, now), cio._parent_count(m);
    update cio.bucket x
    set fetched_at = now, attempted_at = now, invalid = false, suspect = withheld > 0, rows_seen = seen, pages = requests,
        attempts = 0, last_error = null, next_attempt_at = null
    where x.mirror_id = m.mirror_id and x.lo = b.lo;
    perform cio._count_unit(r.run_id, seen, inserted, updated, deleted, withheld, requests);
    update cio.run x
    set position = b.lo, empty_units = case when seen = 0 then x.empty_units + 1 else 0 end
    where x.run_id = r.run_id;
    if withheld > 0 then
        raise warning 'cio: %: % rows are missing at the source%; they stay', m.target, withheld,
            case when m.mode = 'window' then format(' between %s and %s', b.lo, b.hi) else '' end
            using hint = format('CALL cio.refresh_range(%L, %L, %L, force => true);', m.target, b.lo, b.hi);
    end if;
end $$;

comment on function cio._read_bucket(cio.mirror_def, cio.run, cio.bucket, timestamptz) is 'reads one bucket, applies it, writes the ledger';
