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
