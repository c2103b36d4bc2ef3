-- pg_cron, when this database has it.

create function cio._job_name(target regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('cio:%I.%I', n.nspname, c.relname)
    from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = target
$$;

comment on function cio._job_name(regclass) is 'the name of the pg_cron job of a mirror';

create function cio._job_command(target regclass, max_runtime interval) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- Exactly one CALL: with another statement beside it, it would run in one transaction and could not commit.
    select format('CALL cio.refresh(%L, max_runtime => %L)', substr(cio._job_name(target), 5), max_runtime)
$$;

comment on function cio._job_command(regclass, interval) is 'the one statement of the job';

create function cio._has_cron() returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select exists (select from pg_extension e where e.extname = 'pg_cron') $$;

comment on function cio._has_cron() is 'whether pg_cron is installed in this database';

create function cio._check_cron() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_schema_privilege('cron', 'USAGE') then
        perform cio._refuse_right('schema cron', format('GRANT USAGE ON SCHEMA cron TO %I;', current_user));
    end if;
end $$;

comment on function cio._check_cron() is 'an error when the caller may not use pg_cron';

create function cio._crontab(target regclass, schedule text, max_runtime interval) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- % ends a command in a crontab.
    select format('%s psql -X -q -d %s -c %s', schedule,
        '''' || replace(format('dbname=%s user=%s', current_database(), current_user), '''', '''\''''') || '''',
        '"' || replace(replace(replace(cio._job_command(target, max_runtime), '\', '\\'), '"', '\"'), '%', '\%') || '"')
$$;

comment on function cio._crontab(regclass, text, interval) is 'the line of a crontab that does what the job would do';

create function cio.schedule(target regclass, schedule text default '*/5 * * * *', max_runtime interval default '4 minutes') returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job bigint;
begin
    perform cio._own_mirror(target);
    if schedule is null then
        perform cio._bad('no schedule was given', format('SELECT cio.schedule(%L, ''*/5 * * * *'');', target));
    elsif not cio._has_cron() then
        raise exception 'cio: pg_cron is not installed in this database'
            using errcode = 'feature_not_supported',
                detail = 'Run CREATE EXTENSION pg_cron; or put the line of the hint into a crontab.',
                hint = cio._crontab(target, schedule, max_runtime);
    end if;
    perform cio._check_cron();
    begin
        execute 'select cron.schedule($1, $2, $3)' into job
        using cio._job_name(target), schedule, cio._job_command(target, max_runtime);
    exception when others then
        raise exception 'cio: pg_cron refuses the job: %', sqlerrm
            using errcode = sqlstate, hint = format('SELECT cio.schedule(%L, ''*/5 * * * *'');', target);
    end;
    return job;
end $$;

comment on function cio.schedule(regclass, text, interval) is
'refreshes by pg_cron, as the role that calls this; the job''s number. Without pg_cron an error with the line for a crontab';

create function cio.unschedule(target regclass) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._own_mirror(target);
    if not cio._has_cron() then
        raise exception 'cio: pg_cron is not installed in this database'
            using errcode = 'feature_not_supported', hint = 'crontab -e';
    end if;
    perform cio._check_cron();
    return cio._drop_schedule(target);
end $$;

comment on function cio.unschedule(regclass) is 'ends what cio.schedule began; whether there was a job';

create function cio._drop_schedule(target regclass) returns boolean
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    job text;
begin
    if not cio._has_cron() then
        return false;
    elsif not has_schema_privilege('cron', 'USAGE') then
        return false; -- who may not use it has no job
    end if;
    execute 'select jobname from cron.job where jobname = $1 and username = current_user' into job using cio._job_name(target);
    if job is null then
        return false;
    end if;
    execute 'select cron.unschedule($1)' using job;
    return true;
end $$;

comment on function cio._drop_schedule(regclass) is 'removes the job of a mirror, if this role has one; whether there was one';
