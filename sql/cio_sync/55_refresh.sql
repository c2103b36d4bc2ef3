-- The procedures. They commit after each unit, which PostgreSQL forbids to procedures with a SET clause; so they do next
-- to nothing themselves, and qualify every name and operator: the search_path is the caller's.

create procedure cio.refresh_must_not_be_called_inside_a_transaction_block()
language plpgsql
as $$
begin
    commit;
end $$;

comment on procedure cio.refresh_must_not_be_called_inside_a_transaction_block() is
'fails inside a transaction block; its name then stands in the error''s context';

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
    perform cio._plan_buckets(m, now);
    if kind = 'refresh' then
        total := cio._units_due(m, now);
    elsif kind = 'range' then
        -- From the newest to the oldest: a range that ends before it begins holds none.
        select count(*) into total from cio.bucket b
        where b.mirror_id = m.mirror_id and b.lo < _begin.hi and b.hi > _begin.lo and _begin.lo < _begin.hi and not cio._is_frozen(m, b, now);
    else
        select ceil(extract(epoch from coalesce(min(b.lo), now) - _begin.lo) / extract(epoch from m.bucket)) into total
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

create procedure cio._work(
    run_id bigint, max_units int, deadline timestamptz, on_error text, stop_after_empty int, inout status text
)
language plpgsql
as $$
declare
    outcome text;
    units int := 0;
    failures_in_a_row int := 0;
    told_at timestamptz;
begin
    loop
        status := cio._verdict(run_id, 'begun', units, 0, max_units, deadline, on_error, stop_after_empty);
        exit when status is not null;
        outcome := cio._unit(run_id);
        commit;
        units := units operator(pg_catalog.+) 1;
        if outcome operator(pg_catalog.=) 'failed' then
            failures_in_a_row := failures_in_a_row operator(pg_catalog.+) 1;
        else
            failures_in_a_row := 0;
        end if;
        status := cio._verdict(run_id, outcome, 0, failures_in_a_row, null, null, on_error, null);
        exit when status is not null;
        told_at := cio._tell(run_id, told_at);
    end loop;
    perform cio._end_run(run_id, status);
    commit;
end $$;

comment on procedure cio._work(bigint, int, timestamptz, text, int, text) is 'the units of a run, each in a transaction of its own';

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

create function cio._check_refresh(max_units int, max_runtime interval, on_error text) returns timestamptz
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if on_error is null or on_error not in ('continue', 'stop') then
        raise exception 'cio: on_error cannot be %', coalesce(quote_literal(on_error), 'null')
            using errcode = 'invalid_parameter_value', hint = 'on_error => ''continue'', or on_error => ''stop''';
    elsif max_units < 0 or max_runtime < interval '0' then
        raise exception 'cio: max_units and max_runtime cannot be negative'
            using errcode = 'invalid_parameter_value', hint = 'max_units => 10, max_runtime => ''4 min''';
    end if;
    return clock_timestamp() + max_runtime;
end $$;

comment on function cio._check_refresh(int, interval, text) is 'the time at which a run ends; an error for unusable arguments';

create procedure cio.refresh(
    target regclass,
    max_units int default null,
    max_runtime interval default null,
    on_error text default 'continue',
    inout run_id bigint default null,
    inout units_done int default null,
    inout units_left int default null,
    inout status text default null
)
language plpgsql
as $$
declare
    deadline timestamptz;
    started record;
begin
    call cio.refresh_must_not_be_called_inside_a_transaction_block();
    deadline := cio._check_refresh(max_units, max_runtime, on_error);
    select * into started from cio._begin(target, 'refresh', null, null, false);
    commit;
    run_id := started.run_id;
    status := started.status;
    if run_id is not null then
        call cio._work(run_id, max_units, deadline, on_error, null, status);
    end if;
    units_done := cio._units_done(run_id);
    units_left := cio._units_left(target);
    perform cio._raise_failures(run_id);
end $$;

comment on procedure cio.refresh(regclass, int, interval, text, bigint, int, int, text) is
'reads what is due and brings the local table in step, one transaction for each unit; ends with status done, partial, idle, paused or skipped';

create procedure cio.refresh_range(target regclass, lo timestamptz, hi timestamptz, force boolean default false)
language plpgsql
as $$
declare
    started record;
    status text;
begin
    call cio.refresh_must_not_be_called_inside_a_transaction_block();
    perform cio._check_range(target, lo, hi);
    select * into started from cio._begin(target, 'range', lo, hi, force);
    commit;
    if started.run_id is not null then
        call cio._work(started.run_id, null, null, 'continue', null, status);
        perform cio._raise_failures(started.run_id);
    end if;
end $$;

comment on procedure cio.refresh_range(regclass, timestamptz, timestamptz, boolean) is
'reads every bucket of a range again, due or not; force believes that missing rows were deleted';

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
language plpgsql volatile
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
    -- Of the bucket in which the mirror begins only the later part was read. Below it, each bucket moves the start.
    update cio.bucket b set invalid = true, attempted_at = null
    where b.mirror_id = m.mirror_id and b.lo < m.start_time and b.hi > m.start_time and down_to < m.start_time;
    update cio.mirror_def d set start_time = greatest(down_to, date_bin(m.bucket, m.start_time, m.origin))
    where d.mirror_id = m.mirror_id and d.start_time > down_to;
end $$;

comment on function cio._check_backfill(regclass, timestamptz, int) is 'moves the start of the mirror down; an error for unusable arguments';

create procedure cio.backfill(target regclass, down_to timestamptz, stop_after_empty int default 30)
language plpgsql
as $$
declare
    started record;
    status text;
begin
    call cio.refresh_must_not_be_called_inside_a_transaction_block();
    perform cio._check_backfill(target, down_to, stop_after_empty);
    select * into started from cio._begin(target, 'backfill', down_to, null, false);
    commit;
    if started.run_id is not null then
        call cio._work(started.run_id, null, null, 'stop', stop_after_empty, status);
        perform cio._raise_failures(started.run_id);
    end if;
end $$;

comment on procedure cio.backfill(regclass, timestamptz, int) is
'reads buckets below the oldest one, newest first, down to a time or until so many in a row are empty';

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

create procedure cio.refresh_all(max_runtime interval default null)
language plpgsql
as $$
declare
    deadline timestamptz;
    targets regclass[];
    target regclass;
    started record;
    status text;
    failed bigint[] := '{}';
begin
    call cio.refresh_must_not_be_called_inside_a_transaction_block();
    deadline := cio._check_refresh(null, max_runtime, 'continue');
    perform cio._forget_dropped();
    targets := cio._own_targets();
    foreach target in array targets loop
        select * into started from cio._try_begin(target);
        commit;
        if started.run_id is not null then
            if started.status operator(pg_catalog.=) 'running' then
                call cio._work(started.run_id, null, deadline, 'continue', null, status);
            end if;
            failed := pg_catalog.array_append(failed, started.run_id);
        end if;
    end loop;
    perform cio._raise_all_failures(failed);
end $$;

comment on procedure cio.refresh_all(interval) is
'refreshes each mirror that the role itself owns; one that fails does not stop the others, but makes the call fail at its end';

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
