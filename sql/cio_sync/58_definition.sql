-- What a mirror may be: its definition, checked.

create function cio._tiers(given jsonb, hint text, out ages interval[], out periods interval[])
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(given) is distinct from 'object' or given = '{}' then
        raise exception 'cio: tiers must be an object of ages and periods, not %', given using errcode = 'invalid_parameter_value';
    end if;
    begin
        select array_agg(t.key::interval order by t.key::interval), array_agg(t.value::interval order by t.key::interval)
        into ages, periods
        from jsonb_each_text(given) t;
    exception when invalid_datetime_format or datetime_field_overflow then
        raise exception 'cio: tiers must map intervals to intervals, not %', given using errcode = 'invalid_parameter_value';
    end;
    for i in 1 .. cardinality(ages) loop
        if ages[i] <= interval '0' or periods[i] <= interval '0' then
            raise exception 'cio: tiers: % and % must be longer than nothing', ages[i], periods[i]
                using errcode = 'invalid_parameter_value';
        elsif i > 1 and periods[i] < periods[i - 1] then
            raise exception 'cio: tiers out of order: at % old more often (every %) than before (every %)',
                ages[i - 1], periods[i], periods[i - 1] using errcode = 'invalid_parameter_value';
        end if;
    end loop;
exception when invalid_parameter_value then
    raise exception '%', sqlerrm
        using errcode = 'invalid_parameter_value',
            hint = hint;
end $$;

comment on function cio._tiers(jsonb, text) is 'ages and periods of tiers, by age; an error when they are none or older rows are read more often';

create function cio._bad(what text, hint text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'cio: %', what using errcode = 'invalid_parameter_value', hint = hint;
end $$;

comment on function cio._bad(text, text) is 'an error about an argument, with the command that would work';

create function cio._check_definition(m cio.mirror_def, verb text, firsts text[], given jsonb) returns cio.mirror_def
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    source regclass := coalesce(m.page_source, m.source);
    missing name;
begin
    if m.mode is null or m.mode not in ('window', 'cursor', 'snapshot') then
        perform cio._bad(format('mode cannot be %s', coalesce(quote_literal(m.mode), 'null')),
            cio._call(verb, firsts, given, 'mode', 'snapshot'));
    elsif m.key_columns is null or cardinality(m.key_columns) = 0 then
        perform cio._bad(format('%s has no known key', m.source), cio._call(verb, firsts, given, 'key', cio._likely_key(source)));
    elsif m.mode <> 'snapshot' and m.time_column is null then
        perform cio._bad(format('%s has no known time column', m.source), cio._call_with_time(m, verb, firsts, given));
    end if;
    select n into missing from unnest(m.key_columns || m.time_column) n
    where n is not null and not exists (select from cio._columns(source) c where c.name = n) limit 1;
    if missing is not null then
        perform cio._bad(format('%s has no column %I', m.source, missing), cio._look_at_columns(m.source));
    end if;
    select c.name into missing from cio._columns(source) c
    where c.name in ('_first_seen_at', '_changed_at', '_deleted_at') limit 1;
    if missing is not null then
        perform cio._bad(format('%s has a column %I, which a mirror needs for itself', m.source, missing),
            format('CREATE VIEW %s_to_mirror AS SELECT %s FROM %1$s;', m.source,
                (select string_agg(quote_ident(c.name), ', ' order by c.number) from cio._columns(source) c
                 where c.name not in ('_first_seen_at', '_changed_at', '_deleted_at'))));
    end if;
    if m.mode = 'cursor' and cardinality(m.key_columns) <> 1 then
        perform cio._bad('cursor mode needs a key of one column', cio._call(verb, firsts, given, 'key', cio._likely_key(source)));
    elsif m.mode = 'cursor' and m.page_source is null then
        perform cio._bad(format('cursor mode needs a foreign table that tells the page of each row, and there is none for %s', m.source),
            coalesce(cio._import_pages(m.source), cio._call(verb, firsts, given, 'mode', 'snapshot')));
    end if;
    if m.mode = 'window' then
        perform cio._check_window(m, verb, firsts, given);
    end if;
    if m.deletes is null or m.deletes not in ('mark', 'delete', 'ignore') then
        perform cio._bad(format('deletes cannot be %s', coalesce(quote_literal(m.deletes), 'null')),
            cio._call(verb, firsts, given, 'deletes', 'mark'));
    elsif m.on_new_column is null or m.on_new_column not in ('add', 'ignore', 'fail') then
        perform cio._bad(format('on_new_column cannot be %s', coalesce(quote_literal(m.on_new_column), 'null')),
            cio._call(verb, firsts, given, 'on_new_column', 'add'));
    elsif m.max_delete_fraction is null or not m.max_delete_fraction between 0 and 1 then
        perform cio._bad('max_delete_fraction must be between 0 and 1', cio._call(verb, firsts, given, 'max_delete_fraction', '0.2'));
    end if;
    select t.ages, t.periods, t.ages[cardinality(t.ages)] into m.tier_ages, m.tier_periods, m.lookback
    from cio._tiers(m.tiers,
        cio._call(verb, firsts, given, 'tiers', '{"2 days": "15 min", "14 days": "6 hours", "60 days": "1 day"}')) t;
    return m;
end $$;

comment on function cio._check_definition(cio.mirror_def, text, text[], jsonb) is
'the definition with its tiers worked out; an error when it cannot work, with the call that would';

create function cio._call_with_time(m cio.mirror_def, verb text, firsts text[], given jsonb) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when cio._likely_time(m.source) is not null
                then cio._call(verb, firsts, given, 'time_column', cio._likely_time(m.source))
                else cio._call(verb, firsts, given - 'time_column', 'mode', 'snapshot') end
$$;

comment on function cio._call_with_time(cio.mirror_def, text, text[], jsonb) is
'the call with a time column that the source has, or in a mode that needs none';

create function cio._import_pages(source regclass) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('IMPORT FOREIGN SCHEMA customerio LIMIT TO (%I) FROM SERVER %I INTO %I;', e.endpoint, s.srvname, n.nspname)
    from pg_foreign_table f
    join pg_foreign_server s on s.oid = f.ftserver
    join pg_class c on c.oid = f.ftrelid
    join pg_namespace n on n.oid = c.relnamespace
    join cio._endpoints() e on e.endpoint = cio._endpoint_of(source) || '_by_page'
    where f.ftrelid = source
$$;

comment on function cio._import_pages(regclass) is 'the command that imports the pages of a feed; null when it has none';

create function cio._check_window(m cio.mirror_def, verb text, firsts text[], given jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    type text := (select c.type from cio._columns(m.source) c where c.name = m.time_column);
    month_ago text := to_char(cio._plus(cio._now(), interval '-30 days') at time zone 'UTC', 'YYYY-MM-DD "00:00+00"');
begin
    if type <> 'timestamp with time zone' then
        perform cio._bad(format('the time column %I is %s, not timestamp with time zone', m.time_column, type),
            cio._call_with_time(m, verb, firsts, given));
    elsif m.bucket is null or m.bucket < interval '1 minute' or extract(month from m.bucket) <> 0 or extract(year from m.bucket) <> 0 then
        perform cio._bad('bucket must be at least a minute, and without months', cio._call(verb, firsts, given, 'bucket', '1 day'));
    elsif m.retention < m.bucket then
        perform cio._bad(format('retention %s is shorter than bucket %s', m.retention, m.bucket),
            case when m.retention >= interval '1 minute'
                 then cio._call(verb, firsts, given, 'bucket', make_interval(secs => extract(epoch from m.retention)::float8)::text)
                 else cio._call(verb, firsts, given, 'retention', m.bucket::text) end);
    elsif m.retention is null and m.start_time is null then
        perform cio._bad(format('it is not known how far back %s goes', m.source), cio._call(verb, firsts, given, 'start_time', month_ago));
    elsif m.start_time > cio._now() or not isfinite(m.start_time) then
        perform cio._bad('start_time must be a time in the past', cio._call(verb, firsts, given, 'start_time', month_ago));
    end if;
end $$;

comment on function cio._check_window(cio.mirror_def, text, text[], jsonb) is 'an error when buckets cannot be made';
