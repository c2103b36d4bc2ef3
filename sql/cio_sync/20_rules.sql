-- The clock, and the rules that say what is due. Nothing here writes.

create function cio._now() returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(nullif(current_setting('cio.now', true), '')::timestamptz, clock_timestamp())
$$;

comment on function cio._now() is 'the time; the setting cio.now moves it, for tests and for the caller only';

create function cio._plus(at timestamptz, span interval) returns timestamptz
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select (at at time zone 'UTC' + span) at time zone 'UTC' $$;

comment on function cio._plus(timestamptz, interval) is
'the time that much later, with days of 24 hours: timestamptz + interval counts the days of the session''s time zone';

create function cio._period(m cio.mirror_def, age interval) returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select m.tier_periods[i]
    from generate_subscripts(m.tier_ages, 1) i
    where age < m.tier_ages[i]
    order by i
    limit 1
$$;

comment on function cio._period(cio.mirror_def, interval) is 'how often a bucket of this age is read; null beyond the last tier';

create function cio._is_frozen(m cio.mirror_def, b cio.bucket, now timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select m.mode = 'window' and (coalesce(b.lo < cio._plus(now, -m.retention), false) or coalesce(b.hi <= m.start_time, false))
$$;

comment on function cio._is_frozen(cio.mirror_def, cio.bucket, timestamptz) is
'whether the bucket is never asked again: the source no longer holds all its rows, or it lies before the mirror''s beginning';

create function cio._is_due(m cio.mirror_def, b cio.bucket, now timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when cio._is_frozen(m, b, now) then false
        when b.next_attempt_at > now then false
        when b.fetched_at is null or b.invalid or b.attempts > 0 then true
        when m.mode <> 'window' then now - b.fetched_at >= m.tier_periods[1]
        when now - b.lo < m.lookback then now - b.fetched_at >= cio._period(m, now - b.lo)
        -- The closing reading: once after the last tier, however long nothing was refreshed.
        else now >= cio._plus(b.hi, m.lookback) and b.fetched_at < cio._plus(b.hi, m.lookback)
    end
$$;

comment on function cio._is_due(cio.mirror_def, cio.bucket, timestamptz) is 'whether the next refresh reads the bucket';

create function cio._next_due_at(m cio.mirror_def, b cio.bucket, now timestamptz) returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when cio._is_frozen(m, b, now) then null
        when b.next_attempt_at > now then b.next_attempt_at
        when b.fetched_at is null or b.invalid or b.attempts > 0 then now
        when m.mode <> 'window' then cio._plus(b.fetched_at, m.tier_periods[1])
        when now - b.lo < m.lookback and cio._plus(b.fetched_at, cio._period(m, now - b.lo)) < cio._plus(b.lo, m.lookback)
            then cio._plus(b.fetched_at, cio._period(m, now - b.lo))
        when b.fetched_at < cio._plus(b.hi, m.lookback) then cio._plus(b.hi, m.lookback)
    end
$$;

comment on function cio._next_due_at(cio.mirror_def, cio.bucket, timestamptz) is 'when the bucket is due; null for never again';

create function cio._status(m cio.mirror_def, b cio.bucket, now timestamptz) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when cio._is_frozen(m, b, now) then case when b.fetched_at is null then 'lost' else 'frozen' end
        when b.attempts > 0 then 'failed'
        when b.fetched_at is null then 'pending'
        when b.invalid then 'invalid'
        when b.suspect then 'suspect'
        when m.mode = 'window' and b.fetched_at >= cio._plus(b.hi, m.lookback) then 'settled'
        when cio._is_due(m, b, now) then 'due'
        else 'current'
    end
$$;

comment on function cio._status(cio.mirror_def, cio.bucket, timestamptz) is
'lost, frozen, failed, pending, invalid, suspect, settled, due or current';

create function cio._may_delete(m cio.mirror_def, lo timestamptz, now timestamptz) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- The last day before the retention is a margin: the source forgets by its own clock.
    select m.deletes <> 'ignore' and case
        when m.mode = 'window' then m.retention is null or lo >= cio._plus(now, interval '1 day' - m.retention)
        else m.mode = 'snapshot'
    end
$$;

comment on function cio._may_delete(cio.mirror_def, timestamptz, timestamptz) is
'whether a row that is missing in a complete reading of the bucket may count as deleted';

create function cio._is_alive(r cio.run) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Of backends of others only the pid may be visible; then that must do.
    select exists (
        select from pg_stat_activity a
        where a.pid = r.pid
          and (a.backend_start is null or a.backend_start = r.backend_start)
          and (a.query_start is null or (a.query_start = r.statement_at and a.state is distinct from 'idle')))
$$;

comment on function cio._is_alive(cio.run) is 'whether the statement that began the run is still at work';

create function cio._run_status(r cio.run) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when r.status = 'running' and not cio._is_alive(r) then 'interrupted' else r.status end
$$;

comment on function cio._run_status(cio.run) is 'running, done, partial, failed, skipped or interrupted';

create function cio.frontier(target regclass) returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._mirror(target);
begin
    if m.mode <> 'window' then
        raise exception 'cio: % is a mirror in % mode, which has no frontier', target, m.mode
            using errcode = 'wrong_object_type', hint = format('SELECT * FROM cio.mirrors WHERE target = %L::regclass;', target);
    end if;
    return (
        select coalesce(
            min(b.lo) filter (where (b.fetched_at is null or b.fetched_at < b.hi or b.invalid)
                              and not cio._is_frozen(m, b, cio._now())),
            max(b.hi) filter (where b.fetched_at is not null or not cio._is_frozen(m, b, cio._now())),
            '-infinity')
        from cio.bucket b
        where b.mirror_id = m.mirror_id);
end $$;

comment on function cio.frontier(regclass) is
'the time up to which nothing is missing that the source could still give; from it on the source must be asked';
