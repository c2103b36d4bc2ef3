-- Runs: what a refresh tells about itself while it works, and afterwards.

create function cio._start_run(
    m cio.mirror_def, kind text, units_total int, lo timestamptz, hi timestamptz, force boolean
) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    now timestamptz := cio._now();
    id bigint;
begin
    update cio.run r set status = 'interrupted', ended_at = now
    where r.mirror_id = m.mirror_id and r.status = 'running' and not cio._is_alive(r);
    delete from cio.run r where r.mirror_id = m.mirror_id and r.started_at < now - interval '90 days';
    insert into cio.run (mirror_id, kind, pid, backend_start, statement_at, started_at, units_total,
                         range_lo, range_hi, force)
    values (m.mirror_id, kind, pg_backend_pid(),
            (select a.backend_start from pg_stat_activity a where a.pid = pg_backend_pid()),
            statement_timestamp(), now, units_total, lo, hi, force)
    returning run_id into id;
    return id;
end $$;

comment on function cio._start_run(cio.mirror_def, text, int, timestamptz, timestamptz, boolean) is 'a new run, and the end of those whose backend is gone';

create function cio._count_unit(
    run_id bigint, seen bigint, inserted bigint, updated bigint, deleted bigint, withheld bigint, requests int
) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update cio.run r
    set units_done = r.units_done + 1, pages = r.pages + requests, rows_seen = r.rows_seen + seen,
        rows_inserted = r.rows_inserted + inserted, rows_updated = r.rows_updated + updated,
        rows_deleted = r.rows_deleted + deleted, rows_withheld = r.rows_withheld + withheld
    where r.run_id = _count_unit.run_id
$$;

comment on function cio._count_unit(bigint, bigint, bigint, bigint, bigint, bigint, int) is 'adds one finished unit to its run';

create function cio._fail_unit(
    m cio.mirror_def, run_id bigint, lo timestamptz, now timestamptz, sqlstate text, message text, detail text
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    -- 30 s, 1 min, 2 min … 1 hour
    update cio.bucket b
    set attempts = b.attempts + 1, attempted_at = now, last_error = concat_ws(': ', message, nullif(detail, '')),
        next_attempt_at = now + least(interval '1 hour', interval '30 seconds' * 2 ^ least(b.attempts, 10))
    where b.mirror_id = m.mirror_id and b.lo = _fail_unit.lo;
    update cio.run r
    set units_failed = r.units_failed + 1, position = _fail_unit.lo, sqlstate = _fail_unit.sqlstate, message = _fail_unit.message, detail = _fail_unit.detail
    where r.run_id = _fail_unit.run_id;
end $$;

comment on function cio._fail_unit(cio.mirror_def, bigint, timestamptz, timestamptz, text, text, text) is
'notes that a bucket could not be read, and when to try again';

create function cio._is_hopeless(sqlstate text) returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    -- A wrong key, a missing right, a dropped column: the next bucket would fail just so.
    select sqlstate ~ '^(28|42|3F|HV00[2-9A-Z]|HV0[1-9]|0A|25)'
$$;

comment on function cio._is_hopeless(text) is 'whether an error would meet every other unit too';

create function cio._tell(run_id bigint, inout told_at timestamptz, inout told_units int)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    r cio.run;
    target regclass;
    spent interval;
begin
    if told_at > clock_timestamp() - interval '1 second' then
        return;
    end if;
    select x.* into r from cio.run x where x.run_id = _tell.run_id;
    if r.run_id is null or r.units_done = told_units then
        return;
    end if;
    select d.target into target from cio.mirror_def d where d.mirror_id = r.mirror_id;
    spent := clock_timestamp() - r.statement_at;
    raise notice 'cio: %: % of % units, % rows%', target, r.units_done, coalesce(r.units_total::text, '?'), r.rows_seen,
        case when r.units_total > r.units_done and r.units_done > 0
             then ', about ' || date_trunc('second', spent / r.units_done * (r.units_total - r.units_done)) || ' left'
             else '' end;
    told_at := clock_timestamp();
    told_units := r.units_done;
end $$;

comment on function cio._tell(bigint, timestamptz, int) is
'a NOTICE of the progress, at most once a second and once for as many units; when, and of how many';

create function cio._end_run(run_id bigint, status text, told_units int) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    update cio.run r
    set status = case when r.units_failed > 0 then 'failed' else _end_run.status end, ended_at = cio._now()
    where r.run_id = _end_run.run_id;
    perform cio._tell(_end_run.run_id, null, _end_run.told_units);
end $$;

comment on function cio._end_run(bigint, text, int) is 'writes how the run ended';
