-- The procedures. They commit after each unit, which PostgreSQL forbids to procedures with a SET clause; so they do next
-- to nothing themselves, and qualify every name and operator: the search_path is the caller's.

create function cio._message_of_a_block() returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    commit; -- no function may
exception when invalid_transaction_termination then
    return sqlerrm;
end $$;

comment on function cio._message_of_a_block() is
'what PostgreSQL says, in the language of the server, to a COMMIT where a transaction cannot end';

create function cio._refuse_block(said text, call text) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if said = cio._message_of_a_block() then
        raise exception 'cio: a procedure that commits cannot run inside a transaction block or a function'
            using errcode = 'active_sql_transaction', hint = call,
                detail = 'It must be called by itself: not after BEGIN, not beside another statement, not in a block with an EXCEPTION clause, and with autocommit.';
    end if;
end $$;

comment on function cio._refuse_block(text, text) is 'an error with the call to make, when that was said because of a transaction block';

create procedure cio._must_not_run_inside_a_block(call text)
language plpgsql
as $$
begin
    begin
        -- Fails in either case: inside a block because of that, and otherwise because of this sub-block.
        commit;
    exception when invalid_transaction_termination then
        perform cio._refuse_block(sqlerrm, call);
    end;
    commit;
end $$;

comment on procedure cio._must_not_run_inside_a_block(text) is 'an error inside a transaction block, before anything was done';

create procedure cio._work(
    run_id bigint, max_units int, deadline timestamptz, on_error text, stop_after_empty int, inout status text
)
language plpgsql
as $$
declare
    outcome text;
    units int := 0;
    failures_in_a_row int := 0;
    told record;
begin
    select null::pg_catalog.timestamptz as told_at, null::pg_catalog.int4 as told_units into told;
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
        select * into told from cio._tell(run_id, told.told_at, told.told_units);
    end loop;
    perform cio._end_run(run_id, status, told.told_units);
    commit;
end $$;

comment on procedure cio._work(bigint, int, timestamptz, text, int, text) is 'the units of a run, each in a transaction of its own';

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
    call cio._must_not_run_inside_a_block(pg_catalog.format('CALL cio.refresh(%L);', target));
    deadline := cio._check_refresh(target, max_units, max_runtime, on_error);
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
    call cio._must_not_run_inside_a_block(pg_catalog.format('CALL cio.refresh_range(%L, %L, %L);', target, lo, hi));
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

create procedure cio.backfill(target regclass, down_to timestamptz, stop_after_empty int default 30)
language plpgsql
as $$
declare
    started record;
    status text;
begin
    call cio._must_not_run_inside_a_block(pg_catalog.format('CALL cio.backfill(%L, %L);', target, down_to));
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
    call cio._must_not_run_inside_a_block('CALL cio.refresh_all();');
    deadline := cio._check_refresh(null, null, max_runtime, 'continue');
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
