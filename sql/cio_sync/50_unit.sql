-- One unit of work, which is one transaction: the procedures commit after each.

create function cio._unit(run_id bigint) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    r cio.run;
    m cio.mirror_def;
    b cio.bucket;
    now timestamptz;
    state text;
    message text;
    detail text;
    outcome text := 'done';
begin
    select x.* into r from cio.run x where x.run_id = _unit.run_id;
    -- The lock keeps cio.unmirror out until the unit ends.
    select d.* into m from cio.mirror_def d where d.mirror_id = r.mirror_id for key share;
    if m.mirror_id is null then
        return 'removed';
    elsif m.paused then
        return 'paused';
    end if;
    perform set_config('application_name', left(format('cio: %s %s/%s', m.target, r.units_done, r.units_total), 63), true);
    -- What is kept here must be what the API says now; this setting is of cio_fdw, and means nothing to others.
    perform set_config('cio_fdw.cache', 'off', true);
    if m.mode = 'cursor' and not pg_try_advisory_xact_lock(cio._lock_class(), m.mirror_id) then
        return 'skipped';
    end if;
    b := cio._claim(m, r);
    if b.mirror_id is null then
        return 'none';
    end if;
    -- As it is now: a backfill has moved the start.
    select d.* into m from cio.mirror_def d where d.mirror_id = r.mirror_id;
    now := cio._now();
    begin
        if m.mode = 'cursor' then
            outcome := cio._read_page(m, r, b, now);
        else
            perform cio._read_bucket(m, r, b, now);
        end if;
    exception
        when admin_shutdown or crash_shutdown or cannot_connect_now then
            raise;
        when others then
            get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
            perform cio._fail_unit(m, r.run_id, b.lo, now, state, message, detail);
            outcome := case when cio._is_hopeless(state) then 'hopeless' else 'failed' end;
    end;
    return outcome;
end $$;

comment on function cio._unit(bigint) is
'reads the next bucket or page of a run; done, none, failed, hopeless, skipped, paused or removed';

create function cio._lock_class() returns int
language sql immutable
set search_path = pg_catalog, pg_temp
as $$ select 6515055 $$;

comment on function cio._lock_class() is 'first key of the advisory lock of a mirror in cursor mode; the second is mirror_id';
