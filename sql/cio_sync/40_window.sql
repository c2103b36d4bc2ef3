-- Window and snapshot mode: buckets.

create function cio._plan_buckets(m cio.mirror_def, now timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    first timestamptz := m.start_time;
begin
    if m.mode <> 'window' then
        insert into cio.bucket (mirror_id, lo, hi)
        select m.mirror_id, '-infinity', 'infinity'
        where not exists (select from cio.bucket b where b.mirror_id = m.mirror_id)
        on conflict do nothing;
        return;
    end if;
    -- Of the bucket in which the retention ends a part is gone already: the first is the one after it.
    if m.retention is not null then
        first := greatest(m.start_time, date_bin(m.bucket, now - m.retention, m.origin) + m.bucket);
    end if;
    insert into cio.bucket (mirror_id, lo, hi)
    select m.mirror_id, lo, lo + m.bucket
    from generate_series(date_bin(m.bucket, first, m.origin), now, m.bucket) lo
    where not exists (select from cio.bucket b where b.mirror_id = m.mirror_id and b.lo = lo.lo)
    on conflict do nothing;
end $$;

comment on function cio._plan_buckets(cio.mirror_def, timestamptz) is 'adds the buckets that time has brought, and no others';

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
        select b.* into found_bucket from cio.bucket b where b.mirror_id = m.mirror_id order by b.lo limit 1;
        insert into cio.bucket (mirror_id, lo, hi)
        select m.mirror_id, edge - m.bucket, edge
        from coalesce(found_bucket.lo, date_bin(m.bucket, now, m.origin) + m.bucket) edge
        where edge > r.range_lo
        on conflict do nothing
        returning * into found_bucket;
    end if;
    return found_bucket;
end $$;

comment on function cio._claim(cio.mirror_def, cio.run) is
'the bucket that a run reads next, the newest first, locked for this transaction; null when there is none';

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
    into seen, inserted, updated, deleted, withheld
    using greatest(b.lo, case when r.kind = 'backfill' then r.range_lo else m.start_time end), least(b.hi, now), now, r.force, cio._may_delete(m, b.lo, now);
    requests := greatest(1, ceil(seen / m.page_rows::float8));
    update cio.bucket x
    set fetched_at = now, attempted_at = now, invalid = false, suspect = withheld > 0, rows_seen = seen, pages = requests,
        attempts = 0, last_error = null, next_attempt_at = null
    where x.mirror_id = m.mirror_id and x.lo = b.lo;
    perform cio._count_unit(r.run_id, seen, inserted, updated, deleted, withheld, requests);
    update cio.run x
    set position = b.lo, empty_units = case when seen = 0 then x.empty_units + 1 else 0 end
    where x.run_id = r.run_id;
    if r.kind = 'backfill' then
        update cio.mirror_def d set start_time = greatest(b.lo, r.range_lo)
        where d.mirror_id = m.mirror_id and d.start_time > greatest(b.lo, r.range_lo);
    end if;
    if withheld > 0 then
        raise warning 'cio: %: % rows are missing at the source%; they stay', m.target, withheld,
            case when m.mode = 'window' then format(' between %s and %s', b.lo, b.hi) else '' end
            using hint = format('CALL cio.refresh_range(%L, %L, %L, force => true);', m.target, b.lo, b.hi);
    end if;
end $$;

comment on function cio._read_bucket(cio.mirror_def, cio.run, cio.bucket, timestamptz) is 'reads one bucket, applies it, writes the ledger';
