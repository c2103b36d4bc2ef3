-- What goes on, for everybody who may see the mirror: the views decide by the caller, as row security does. They are
-- barriers, or a condition with a function of the caller's could be tried on rows of others first.

create view cio.mirrors with (security_barrier) as
select d.target, d.source, c.relowner::regrole as owner, d.mode, d.key_columns, d.time_column, d.bucket, d.tiers, d.lookback,
       d.start_time, d.retention, d.deletes, d.max_delete_fraction, d.on_new_column, d.paused,
       case when d.mode = 'window' then cio.frontier(d.target) end as frontier,
       b.due + p.n as due, b.settled, b.frozen, b.lost, b.failed, b.suspect,
       least(b.oldest_due_at, p.due_at) as oldest_due_at, least(b.next_due_at, p.due_at) as next_due_at,
       b.last_success_started_at, b.last_error,
       case when d.mode = 'cursor' then cio._plus(g.oldest, d.retention) end as loss_deadline
from cio.mirror_def d
join pg_catalog.pg_class c on c.oid = d.target
cross join lateral (
    select count(*) filter (where cio._is_due(d, b, cio._now())) as due,
           count(*) filter (where cio._status(d, b, cio._now()) = 'settled') as settled,
           count(*) filter (where cio._status(d, b, cio._now()) = 'frozen') as frozen,
           count(*) filter (where cio._status(d, b, cio._now()) = 'lost') as lost,
           count(*) filter (where b.attempts > 0) as failed,
           count(*) filter (where b.suspect) as suspect,
           min(cio._next_due_at(d, b, cio._now())) filter (where cio._is_due(d, b, cio._now())) as oldest_due_at,
           min(cio._next_due_at(d, b, cio._now())) as next_due_at,
           max(b.fetched_at) as last_success_started_at,
           (array_agg(b.last_error order by b.attempted_at desc) filter (
               where b.last_error is not null and cio._status(d, b, cio._now()) not in ('frozen', 'lost')))[1] as last_error
    from cio.bucket b where b.mirror_id = d.mirror_id) b
-- What the next refresh will write into the ledger first.
cross join lateral (
    select count(*) as n, case when count(*) > 0 then cio._now() end as due_at from cio._planned(d, cio._now())) p
left join lateral (
    -- Unread rows begin right below the newest segment with something left to read.
    select min(s.bottom_at) as oldest from cio.segment s where s.mirror_id = d.mirror_id and s.next_page is not null) g on true
where cio._may_see(d.target);

comment on view cio.mirrors is 'each mirror: its settings, how far it is, what is due, what went wrong';
comment on column cio.mirrors.frontier is 'window mode: below this time nothing is missing';
comment on column cio.mirrors.last_success_started_at is 'start of the last complete reading: what happened later is not promised to be there';
comment on column cio.mirrors.loss_deadline is 'cursor mode: when the source begins to forget rows that were not read yet';

create view cio.runs with (security_barrier) as
select r.run_id, d.target, r.kind, cio._run_status(r) as status, r.started_at, r.ended_at, r.units_done, r.units_failed,
       r.units_total, r.pages as requests, r.rows_seen, r.rows_inserted, r.rows_updated, r.rows_deleted, r.rows_withheld,
       r.sqlstate, r.message, r.detail, r.pid
from cio.run r join cio.mirror_def d using (mirror_id)
where cio._may_see(d.target);

comment on view cio.runs is 'each refresh that had something to do; running, done, partial, failed, skipped, paused or interrupted';
comment on column cio.runs.requests is 'estimated from rows and page size; exact in cursor mode';

create view cio.progress with (security_barrier) as
select r.run_id, d.target, r.kind, r.pid, r.units_done as done, r.units_total as total, r.rows_seen as rows,
       r.position as last_read, r.units_failed as failed, pg_catalog.clock_timestamp() - r.statement_at as running_for,
       case when r.units_done > 0 then
           (pg_catalog.clock_timestamp() - r.statement_at) / r.units_done * greatest(r.units_total - r.units_done, 0) end as eta
from cio.run r join cio.mirror_def d using (mirror_id)
where r.status = 'running' and cio._is_alive(r) and cio._may_see(d.target);

comment on view cio.progress is 'the refreshes at work now: units done and in total, and the time that the rest will take';
comment on column cio.progress.last_read is 'beginning of the bucket that was read last';
comment on column cio.progress.eta is 'time left, if the rest goes as what was done; null while nothing is known';

create view cio.errors with (security_barrier) as
select e.* from (
    select d.target, b.lo, b.hi, b.attempts, b.attempted_at as at, b.next_attempt_at, b.last_error as error
    from cio.bucket b join cio.mirror_def d using (mirror_id)
    where b.last_error is not null and cio._may_see(d.target)
      -- Those are not tried again: cio.gaps and cio.buckets tell of them.
      and cio._status(d, b, cio._now()) not in ('frozen', 'lost')
    union all
    select d.target, r.position, null, r.units_failed, coalesce(r.ended_at, r.started_at), null,
           pg_catalog.concat_ws(': ', r.message, nullif(r.detail, ''))
    from cio.run r join cio.mirror_def d using (mirror_id)
    where r.units_failed > 0 and cio._may_see(d.target)
      and not exists (select from cio.bucket b where b.mirror_id = r.mirror_id and b.last_error is not null)
      and r.run_id = (select max(x.run_id) from cio.run x where x.mirror_id = r.mirror_id)) e
-- Without a condition out here PostgreSQL takes the UNION ALL apart, and the barrier with it.
where cio._may_see(e.target);

comment on view cio.errors is 'what went wrong last and was not made good since, with the time of the next attempt';

create view cio.buckets with (security_barrier) as
select d.target, b.lo, b.hi, cio._status(d, b, cio._now()) as status, b.fetched_at, b.rows_seen, b.pages as requests,
       b.attempts, b.last_error, cio._next_due_at(d, b, cio._now()) as next_due_at
from cio.bucket b join cio.mirror_def d using (mirror_id)
where cio._may_see(d.target);

comment on view cio.buckets is 'the ledger: each range of time with when it was read and what becomes of it';
comment on column cio.buckets.status is 'pending, current, due, settled, invalid, suspect, failed, frozen (kept for ever) or lost (forgotten by the source before it was read)';

create view cio.gaps with (security_barrier) as
select e.* from (
    select d.target, greatest(b.lo, b.fetched_at, d.start_time) as lo, b.hi,
           case when b.fetched_at is null then cio._status(d, b, cio._now()) else 'lost' end as reason,
           cio._plus(b.lo, d.retention) as lost_at
    from cio.bucket b join cio.mirror_def d using (mirror_id)
    where d.mode = 'window' and cio._may_see(d.target) and b.hi > coalesce(d.start_time, '-infinity')
      -- The rest of a bucket that the source began to forget before it was read again.
      and (b.fetched_at is null or (b.fetched_at < b.hi and cio._is_frozen(d, b, cio._now())))
    union all
    select d.target, s.below_at, s.bottom_at,
           case when s.next_page is null or cio._plus(s.bottom_at, d.retention) < cio._now() then 'lost' else 'unread' end,
           cio._plus(s.bottom_at, d.retention)
    from (
        select x.mirror_id, x.bottom_at, x.next_page, x.top_at,
               lead(x.top_at) over (partition by x.mirror_id order by x.segment_id desc) as below_at
        from cio.segment x where x.top_at is not null) s
    join cio.mirror_def d using (mirror_id)
    where cio._may_see(d.target) and (s.next_page is not null or s.below_at is not null)) e
-- Without a condition out here PostgreSQL takes the UNION ALL apart, and the barrier with it.
where cio._may_see(e.target);

comment on view cio.gaps is 'ranges that were never read, why, and when the source forgets them';

create view cio.requests with (security_barrier) as
select d.target, pg_catalog.date_trunc('day', r.started_at) as day, pg_catalog.sum(r.pages) as requests,
       pg_catalog.count(*) as runs, pg_catalog.sum(r.rows_seen) as rows
from cio.run r join cio.mirror_def d using (mirror_id)
where cio._may_see(d.target)
group by d.target, pg_catalog.date_trunc('day', r.started_at);

comment on view cio.requests is 'requests of each day, estimated from rows and page size; exact in cursor mode';

grant select on cio.mirrors, cio.runs, cio.progress, cio.errors, cio.buckets, cio.gaps, cio.requests to public;

create function cio.estimate(target regclass) returns table (scope text, requests bigint, seconds numeric)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._mirror(target);
    now timestamptz := cio._now();
    per_second numeric := coalesce((cio._options(m.source)->>'requests_per_second')::numeric, 10);
    typical numeric;
begin
    select coalesce(percentile_cont(0.5) within group (order by b.pages), 1)::numeric into typical
    from cio.bucket b where b.mirror_id = m.mirror_id and b.fetched_at is not null;
    return query
    with part as (
        select 'first load' as scope, 1 as n,
               case m.mode
                   when 'window' then typical * extract(epoch from now - greatest(m.start_time, cio._plus(now, -m.retention))) / extract(epoch from m.bucket)
                   when 'cursor' then (select sum(s.pages) from cio.segment s where s.mirror_id = m.mirror_id)
                   else typical end as requests
        union all
        select 'per day', 2,
               case m.mode
                   when 'window' then (
                       select sum(typical * extract(epoch from least(age, age - before)) / extract(epoch from m.bucket) * extract(epoch from interval '1 day') / extract(epoch from period))
                       from (select a as age, p as period, coalesce(lag(a) over (order by a), interval '0') as before
                             from unnest(m.tier_ages, m.tier_periods) u(a, p)) t)
                   else typical * extract(epoch from interval '1 day') / extract(epoch from m.tier_periods[1]) end
        union all
        select 'now due', 3,
               coalesce((select sum(coalesce(b.pages, typical)) from cio.bucket b where b.mirror_id = m.mirror_id and cio._is_due(m, b, now)), 0)
                   + (select count(*) * typical from cio._planned(m, now)))
    select p.scope, ceil(coalesce(p.requests, 0))::bigint, round(ceil(coalesce(p.requests, 0)) / per_second, 1) from part p order by p.n;
end $$;

comment on function cio.estimate(regclass) is
'requests and seconds of a first load, of a day with these tiers, and of what is due now, from the buckets read so far';
