-- What the procedures call: beginning a run, going on, ending it.

create function cio._begin(
    target regclass, kind text, lo timestamptz, hi timestamptz, force boolean, out run_id bigint, out status text
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    now timestamptz := cio._now();
    total int;
begin
    if m.paused then
        status := 'paused';
        raise notice 'cio: % is paused', target using hint = format('SELECT cio.resume(%L);', target);
        return;
    end if;
    if m.mode = 'cursor' and not pg_try_advisory_xact_lock(cio._lock_class(), m.mirror_id) then
        status := 'skipped';
        raise notice 'cio: %: another refresh is at work', target using hint = 'SELECT * FROM cio.progress;';
        return;
    end if;
    perform cio._check_columns(m);
    perform cio._check_readable(coalesce(m.page_source, m.source));
    perform cio._plan_buckets(m, now);
    if kind = 'backfill' then
        m := cio._open_past(m, lo);
    end if;
    if kind = 'refresh' then
        total := cio._units_due(m, now);
    elsif kind = 'range' then
        -- From the newest to the oldest: a range that ends before it begins holds none.
        select count(*) into total from cio.bucket b
        where b.mirror_id = m.mirror_id and b.lo < _begin.hi and b.hi > _begin.lo and _begin.lo < _begin.hi and not cio._is_frozen(m, b, now);
    else
        select count(*) filter (where cio._is_past(m, b, now) and b.hi > _begin.lo)
               + greatest(0, ceil(extract(epoch from coalesce(min(b.lo), now) - _begin.lo) / extract(epoch from m.bucket))) into total
        from cio.bucket b where b.mirror_id = m.mirror_id;
    end if;
    if total > 0 then
        run_id := cio._start_run(m, kind, case when m.mode <> 'cursor' then total end, lo, hi, force);
        status := 'running';
    else
        status := 'idle';
    end if;
end $$;

comment on function cio._begin(regclass, text, timestamptz, timestamptz, boolean) is
'a run when there is something to do; otherwise why not: idle, paused or skipped';

create function cio._verdict(
    run_id bigint, outcome text, units int, failures_in_a_row int, max_units int, deadline timestamptz, on_error text,
    stop_after_empty int
) returns text
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    select case
        when outcome = 'none' then 'done'
        when outcome in ('skipped', 'paused', 'removed') then outcome
        when outcome = 'hopeless' or (outcome = 'failed' and (on_error = 'stop' or failures_in_a_row >= 3)) then 'failed'
        when (select r.empty_units >= stop_after_empty from cio.run r where r.run_id = _verdict.run_id) then 'done'
        when units >= max_units or clock_timestamp() >= deadline then 'partial'
    end
$$;

comment on function cio._verdict(bigint, text, int, int, int, timestamptz, text, int) is
'how the run ends after this unit; null to go on';

create function cio._units_done(run_id bigint) returns int
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce((select r.units_done from cio.run r where r.run_id = _units_done.run_id), 0) $$;

comment on function cio._units_done(bigint) is 'units that a run has finished';

create function cio._units_left(target regclass) returns int
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select cio._units_due(d, cio._now()) from cio.mirror_def d where d.target = _units_left.target
$$;

comment on function cio._units_left(regclass) is 'units that are due now';

create function cio._raise_failures(run_id bigint) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    r cio.run;
    target regclass;
begin
    if run_id is null then
        return;
    end if;
    select x.* into r from cio.run x where x.run_id = _raise_failures.run_id;
    if r.run_id is null then
        raise exception 'cio: the mirror was removed during the refresh'
            using errcode = 'object_not_in_prerequisite_state', hint = 'SELECT target FROM cio.mirrors;';
    end if;
    select d.target into target from cio.mirror_def d where d.mirror_id = r.mirror_id;
    if r.units_failed > 0 then
        raise exception 'cio: % of % units of % failed', r.units_failed, r.units_failed + r.units_done, target
            using errcode = coalesce(r.sqlstate, 'XX000'), detail = concat_ws(': ', r.message, nullif(r.detail, '')),
                hint = format('SELECT * FROM cio.errors WHERE target = %L::regclass;', target);
    end if;
end $$;

comment on function cio._raise_failures(bigint) is
'an error when units of the run failed, so that a scheduler sees it; what was read is committed by then';

create function cio._check_refresh(target regclass, max_units int, max_runtime interval, on_error text) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_error is null or on_error not in ('continue', 'stop') then
        raise exception 'cio: on_error cannot be %', coalesce(quote_literal(on_error), 'null')
            using errcode = 'invalid_parameter_value', hint = format('CALL cio.refresh(%L, on_error => ''continue'');', target);
    elsif max_units < 0 or max_runtime < interval '0' then
        raise exception 'cio: max_units and max_runtime cannot be negative'
            using errcode = 'invalid_parameter_value',
                hint = case when target is null then 'CALL cio.refresh_all(max_runtime => ''4 min'');'
                            else format('CALL cio.refresh(%L, max_units => 10, max_runtime => ''4 min'');', target) end;
    end if;
    return clock_timestamp() + max_runtime;
end $$;

comment on function cio._check_refresh(regclass, int, interval, text) is 'the time at which a run ends; an error for unusable arguments';

create function cio._check_range(target regclass, lo timestamptz, hi timestamptz) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
begin
    if m.mode = 'cursor' then
        raise exception 'cio: % is a mirror in cursor mode, which has no ranges', target
            using errcode = 'wrong_object_type', hint = format('CALL cio.refresh(%L);', target);
    elsif lo is null or hi is null then
        raise exception 'cio: a range needs two ends'
            using errcode = 'null_value_not_allowed',
                hint = format('CALL cio.refresh_range(%L, ''-infinity'', ''infinity'');', target);
    end if;
end $$;

comment on function cio._check_range(regclass, timestamptz, timestamptz) is 'an error when the mirror has no ranges, or this is none';

create function cio._check_backfill(target regclass, down_to timestamptz, stop_after_empty int) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
begin
    if m.mode <> 'window' then
        raise exception 'cio: % is a mirror in % mode, which has no past to fill', target, m.mode
            using errcode = 'wrong_object_type', hint = format('CALL cio.refresh(%L);', target);
    elsif down_to is null or not isfinite(down_to) or down_to >= cio._now() or stop_after_empty < 1 then
        raise exception 'cio: a backfill needs a time in the past, and stop_after_empty of at least 1'
            using errcode = 'invalid_parameter_value',
                hint = format('CALL cio.backfill(%L, now() - interval ''1 year'');', target);
    end if;
end $$;

comment on function cio._check_backfill(regclass, timestamptz, int) is 'an error for unusable arguments';

create function cio._open_past(m cio.mirror_def, down_to timestamptz) returns cio.mirror_def
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._reopen_first(m, down_to);
    update cio.mirror_def d set start_time = greatest(down_to, date_bin(m.bucket, m.start_time, m.origin))
    where d.mirror_id = m.mirror_id and d.start_time > down_to;
    return cio._own_mirror(m.target);
end $$;

comment on function cio._open_past(cio.mirror_def, timestamptz) is
'the mirror, beginning where its first bucket does; each bucket of the backfill moves the start further down';

create function cio._reopen_first(m cio.mirror_def, start_time timestamptz) returns void
language sql volatile
set search_path = pg_catalog, pg_temp
as $$
    update cio.bucket b set invalid = b.fetched_at is not null, attempted_at = null
    where b.mirror_id = m.mirror_id and b.lo < m.start_time and b.hi > m.start_time and _reopen_first.start_time < m.start_time
$$;

comment on function cio._reopen_first(cio.mirror_def, timestamptz) is
'with an earlier start the first bucket is to be read again: of it only what lies after the old start was read';

create function cio._own_targets() returns regclass[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Only the caller's very own: a superuser would run triggers that others put on their tables.
    select coalesce(array_agg(d.target order by d.mode <> 'snapshot', d.mode <> 'window', d.mirror_id), '{}')
    from cio.mirror_def d
    join pg_class c on c.oid = d.target
    where c.relowner = (select r.oid from pg_roles r where r.rolname = current_user) and not d.paused
$$;

comment on function cio._own_targets() is 'the mirrors of the role itself that are not paused: small tables first, then messages, then feeds';

create function cio._raise_all_failures(run_ids bigint[]) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    failed int;
    told text;
begin
    select count(*), string_agg(format('%s: %s', d.target, r.message), '; ' order by r.run_id)
    into failed, told
    from cio.run r join cio.mirror_def d using (mirror_id)
    where r.run_id = any (run_ids) and r.units_failed > 0;
    if failed > 0 then
        raise exception 'cio: % of % mirrors failed', failed, cardinality(run_ids)
            using errcode = 'XX000', detail = told, hint = 'SELECT * FROM cio.errors;';
    end if;
end $$;

comment on function cio._raise_all_failures(bigint[]) is 'an error when a unit of these runs failed';

create function cio._try_begin(target regclass, out run_id bigint, out status text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def;
    what text;
    why text;
    code text;
begin
    begin
        select b.run_id, b.status into run_id, status from cio._begin(target, 'refresh', null, null, false) b;
    exception when others then
        get stacked diagnostics code = returned_sqlstate, what = message_text, why = pg_exception_detail;
        raise warning '%', what;
        select d.* into m from cio.mirror_def d where d.target = _try_begin.target;
        if m.mirror_id is not null then
            run_id := cio._start_run(m, 'refresh', 0, null, null, false);
            status := 'failed';
            update cio.run r
            set status = 'failed', ended_at = r.started_at, units_failed = 1, sqlstate = code, message = what, detail = why
            where r.run_id = _try_begin.run_id;
        end if;
    end;
end $$;

comment on function cio._try_begin(regclass) is '_begin for refresh_all: what cannot begin is a failed run, and the next mirror goes on';
