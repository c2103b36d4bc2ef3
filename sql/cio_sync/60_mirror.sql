-- Making, changing and removing mirrors.

create function cio._tiers(given jsonb, out ages interval[], out periods interval[])
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
            hint = 'tiers => ''{"2 days": "15 min", "14 days": "6 hours", "60 days": "1 day"}''';
end $$;

comment on function cio._tiers(jsonb) is 'ages and periods of tiers, by age; an error when they are none or older rows are read more often';

create function cio._bad(what text, hint text) returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'cio: %', what using errcode = 'invalid_parameter_value', hint = hint;
end $$;

comment on function cio._bad(text, text) is 'an error about an argument, with the command that would work';

create function cio._check_definition(m cio.mirror_def) returns cio.mirror_def
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    missing name;
    call text := format('SELECT cio.mirror(%L', m.source);
begin
    if m.mode is null or m.mode not in ('window', 'cursor', 'snapshot') then
        perform cio._bad(format('mode cannot be %s', coalesce(quote_literal(m.mode), 'null')), call || ', mode => ''snapshot'');');
    elsif m.key_columns is null or cardinality(m.key_columns) = 0 then
        perform cio._bad(format('%s has no known key', m.source), call || ', key => ''{id}'');');
    elsif m.mode <> 'snapshot' and m.time_column is null then
        perform cio._bad(format('%s has no known time column', m.source), call || ', time_column => ''created'');');
    end if;
    select n into missing from unnest(m.key_columns || m.time_column) n
    where n is not null and not exists (select from cio._columns(coalesce(m.page_source, m.source)) c where c.name = n) limit 1;
    if missing is not null then
        perform cio._bad(format('%s has no column %I', m.source, missing), format('\d %s', m.source));
    end if;
    select c.name into missing from cio._columns(coalesce(m.page_source, m.source)) c
    where c.name in ('_first_seen_at', '_changed_at', '_deleted_at') limit 1;
    if missing is not null then
        perform cio._bad(format('%s has a column %I, which a mirror needs for itself', m.source, missing), format('\d %s', m.source));
    end if;
    if m.mode = 'cursor' and cardinality(m.key_columns) <> 1 then
        perform cio._bad('cursor mode needs a key of one column', call || ', key => ''{id}'');');
    elsif m.mode = 'cursor' and m.page_source is null then
        perform cio._bad(format('cursor mode needs a foreign table that tells the page of each row, and there is none for %s', m.source),
            'IMPORT FOREIGN SCHEMA customerio LIMIT TO (activities_by_page) FROM SERVER customerio INTO customerio;');
    end if;
    if m.mode = 'window' then
        perform cio._check_window(m, call);
    end if;
    if m.deletes is null or m.deletes not in ('mark', 'delete', 'ignore') then
        perform cio._bad(format('deletes cannot be %s', coalesce(quote_literal(m.deletes), 'null')), call || ', deletes => ''mark'');');
    elsif m.on_new_column is null or m.on_new_column not in ('add', 'ignore', 'fail') then
        perform cio._bad(format('on_new_column cannot be %s', coalesce(quote_literal(m.on_new_column), 'null')),
            call || ', on_new_column => ''add'');');
    elsif m.max_delete_fraction is null or not m.max_delete_fraction between 0 and 1 then
        perform cio._bad('max_delete_fraction must be between 0 and 1', call || ', max_delete_fraction => 0.2);');
    end if;
    select t.ages, t.periods, t.ages[cardinality(t.ages)] into m.tier_ages, m.tier_periods, m.lookback from cio._tiers(m.tiers) t;
    return m;
end $$;

comment on function cio._check_definition(cio.mirror_def) is 'the definition with its tiers worked out; an error when it cannot work';

create function cio._check_window(m cio.mirror_def, call text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    type text := (select c.type from cio._columns(m.source) c where c.name = m.time_column);
begin
    if type <> 'timestamp with time zone' then
        perform cio._bad(format('the time column %I is %s, not timestamp with time zone', m.time_column, type), format('\d %s', m.source));
    elsif m.bucket is null or m.bucket < interval '1 minute' or extract(month from m.bucket) <> 0 or extract(year from m.bucket) <> 0 then
        perform cio._bad('bucket must be at least a minute, and without months', call || ', bucket => ''1 day'');');
    elsif m.retention < m.bucket then
        perform cio._bad(format('retention %s is shorter than bucket %s', m.retention, m.bucket),
            call || format(', bucket => ''1 hour'', retention => %L);', m.retention));
    elsif m.retention is null and m.start_time is null then
        perform cio._bad(format('it is not known how far back %s goes', m.source), call || ', start_time => ''2026-01-01'');');
    elsif m.start_time > cio._now() or not isfinite(m.start_time) then
        perform cio._bad('start_time must be a time in the past', call || ', start_time => now() - interval ''30 days'');');
    end if;
end $$;

comment on function cio._check_window(cio.mirror_def, text) is 'an error when buckets cannot be made';

create function cio._page_source(source regclass) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- The table itself, or the one with the pages of the same feed, on the same server.
    select c.oid::regclass
    from pg_class c
    join pg_class s on s.oid = source
    left join pg_foreign_table f on f.ftrelid = c.oid
    left join pg_foreign_table g on g.ftrelid = source
    where cio._is_paged(c.oid) and has_table_privilege(c.oid, 'SELECT')
      and (c.oid = source or (f.ftserver = g.ftserver and cio._endpoint_of(c.oid) = cio._endpoint_of(source) || '_by_page'))
    order by c.oid = source desc, c.relnamespace = s.relnamespace desc, c.oid
    limit 1
$$;

comment on function cio._page_source(regclass) is 'the table through which the feed can be read page by page; null when there is none';

create function cio.mirror(
    source regclass,
    target text default null,
    mode text default null,
    key name[] default null,
    time_column name default null,
    bucket interval default '1 day',
    tiers jsonb default '{"2 days": "15 min", "14 days": "6 hours", "60 days": "1 day"}',
    start_time timestamptz default null,
    retention interval default null,
    deletes text default 'mark',
    max_delete_fraction float8 default 0.2,
    on_new_column text default 'add',
    if_not_exists boolean default false
) returns regclass
language plpgsql volatile
as $$
begin
    -- No SET here: a target without a schema is meant where the caller's search_path begins.
    return cio._mirror_new(source, target, pg_catalog.current_schema(), mode, key, time_column, bucket, tiers, start_time,
        retention, deletes, max_delete_fraction, on_new_column, if_not_exists);
end $$;

comment on function cio.mirror(regclass, text, text, name[], name, interval, jsonb, timestamptz, interval, text, float8, text, boolean) is
'makes a local table to be kept in step with a foreign table, and reads nothing yet; mode, key and time column are those of the catalog';

create function cio._mirror_new(
    source regclass, target text, schema name, mode text, key name[], time_column name, bucket interval, tiers jsonb,
    start_time timestamptz, retention interval, deletes text, max_delete_fraction float8, on_new_column text,
    if_not_exists boolean
) returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def;
    known record;
    options jsonb;
    parts text[];
    present regclass;
begin
    if source is null then
        perform cio._bad('no foreign table was named', 'SELECT cio.mirror(''customerio.messages'', ''analytics.messages'');');
    end if;
    perform cio._forget_dropped();
    begin
        parts := case when target is null then array[schema::text, (select c.relname::text from pg_class c where c.oid = source)]
                 else parse_ident(target) end;
    exception when invalid_parameter_value then
        perform cio._bad(format('%L is not the name of a table', target), format('SELECT cio.mirror(%L, ''analytics.messages'');', source));
    end;
    if cardinality(parts) = 1 then
        parts := array[schema::text, parts[1]];
    end if;
    if cardinality(parts) <> 2 or parts[1] is null then
        perform cio._bad('the target needs a schema', format('SELECT cio.mirror(%L, ''analytics.messages'');', source));
    end if;
    present := to_regclass(format('%I.%I', parts[1], parts[2]));
    if present is not null and exists (select from cio.mirror_def d where d.target = present) then
        if if_not_exists and exists (select from cio.mirror_def d where d.target = present and d.source = _mirror_new.source) then
            raise notice 'cio: % is a mirror already', present;
            return present;
        end if;
        raise exception 'cio: % is a mirror already', present
            using errcode = 'duplicate_table', hint = format('SELECT cio.unmirror(%L);', present);
    end if;
    select e.* into known from cio._endpoints() e where e.endpoint = cio._endpoint_of(source);
    options := cio._options(source);
    m.source := source;
    m.mode := coalesce(mode, known.mode);
    m.key_columns := coalesce(key, known.key_columns);
    m.time_column := case when m.mode = 'snapshot' then null else coalesce(time_column, known.time_column) end;
    m.page_source := case when m.mode = 'cursor' then cio._page_source(source) end;
    m.bucket := bucket;
    m.origin := '2001-01-01 00:00+00'; -- a Monday
    m.tiers := tiers;
    m.retention := coalesce(retention, known.retention);
    m.start_time := coalesce(start_time, (options->>'anchor_date')::timestamp at time zone 'UTC');
    m.deletes := deletes;
    m.max_delete_fraction := max_delete_fraction;
    m.on_new_column := on_new_column;
    m.page_rows := coalesce(known.page_rows, 1000);
    m.paused := false;
    m.created_at := cio._now();
    m := cio._check_definition(m);
    m.target := cio._target_table(m, parts[1], parts[2], present);
    insert into cio.mirror_def overriding user value values (m.*);
    select d.* into m from cio.mirror_def d where d.target = m.target;
    perform cio._make_views(m);
    return m.target;
end $$;

comment on function cio._mirror_new(
    regclass, text, name, text, name[], name, interval, jsonb, timestamptz, interval, text, float8, text, boolean
) is 'does the work of cio.mirror';

create function cio._target_table(m cio.mirror_def, schema text, name text, present regclass) returns regclass
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    made regclass := present;
begin
    if present is not null then
        perform cio._check_present(m, present);
    else
        if not exists (select from pg_namespace n where n.nspname = schema) then
            execute format('create schema %I', schema);
            raise notice 'cio: made schema %', quote_ident(schema);
        end if;
        execute format('create table %I.%I (%s, primary key (%s))', schema, name,
            (select string_agg(format('%I %s', c.name, c.type), ', ' order by c.number) from cio._columns(coalesce(m.page_source, m.source)) c),
            cio._list(m.key_columns, '%I'));
        made := to_regclass(format('%I.%I', schema, name));
        execute format('comment on table %s is %L', made, 'mirror of ' || m.source || '; kept in step by cio.refresh');
        if m.time_column is not null then
            execute format('create index on %s (%I)', made, m.time_column);
        end if;
    end if;
    execute format('alter table %s add column if not exists _first_seen_at timestamptz,
        add column if not exists _changed_at timestamptz, add column if not exists _deleted_at timestamptz', made);
    perform cio._comment_columns(m, made);
    return made;
end $$;

comment on function cio._target_table(cio.mirror_def, text, text, regclass) is 'the local table: a new one, or the present one with what it lacks';

create function cio._comment_columns(m cio.mirror_def, made regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    c record;
begin
    for c in
        select a.attname as name, col_description(coalesce(m.page_source, m.source), s.number) as text
        from cio._columns(coalesce(m.page_source, m.source)) s
        join pg_attribute a on a.attrelid = made and a.attname = s.name
        union all
        values ('_first_seen_at', 'When the row was first read (cio_sync).'),
               ('_changed_at', 'Start of the reading that last changed the row (cio_sync).'),
               ('_deleted_at', 'Start of the reading in which the row was gone at the source; null while it is there (cio_sync).')
    loop
        if c.text is not null and col_description(made, (select a.attnum from pg_attribute a where a.attrelid = made and a.attname = c.name)) is null then
            execute format('comment on column %s.%I is %L', made, c.name, c.text);
        end if;
    end loop;
end $$;

comment on function cio._comment_columns(cio.mirror_def, regclass) is 'gives the columns of the local table the descriptions that those of the source have';

create function cio._check_present(m cio.mirror_def, present regclass) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    kind "char" := (select c.relkind from pg_class c where c.oid = present);
    other record;
    hint text := format('SELECT cio.mirror(%L, ''another.name'');', m.source);
begin
    if kind not in ('r', 'p') then
        raise exception 'cio: % exists and is not a table', present using errcode = 'wrong_object_type', hint = hint;
    elsif not cio._is_owner(present) then
        raise exception 'cio: must be owner of table %', present using errcode = 'insufficient_privilege', hint = hint;
    end if;
    select s.name, s.type, t.type as has into other
    from cio._columns(coalesce(m.page_source, m.source)) s left join cio._columns(present) t on t.name = s.name
    where t.type is distinct from s.type
    order by s.number limit 1;
    if other.name is not null then
        raise exception 'cio: % exists with other columns: % is %, not %', present, quote_ident(other.name), coalesce(other.has, 'missing'), other.type
            using errcode = 'duplicate_table', hint = hint;
    end if;
    if not exists (
        select from pg_index i
        where i.indrelid = present and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null
          and i.indnkeyatts = cardinality(m.key_columns)
          and (select array_agg(a.attname order by a.attname) from pg_attribute a
               where a.attrelid = present and a.attnum = any (i.indkey::int2[]))
              @> (select array_agg(k order by k) from unnest(m.key_columns) k)) then
        raise exception 'cio: % has no unique index on its key', present
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('CREATE UNIQUE INDEX ON %s (%s);', present, cio._list(m.key_columns, '%I'));
    end if;
end $$;

comment on function cio._check_present(cio.mirror_def, regclass) is 'an error when an existing table cannot serve as the local table';

create function cio._forget_dropped() returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
    -- With the rights of the extension's owner: a row whose table is gone belongs to nobody any more.
    delete from cio.mirror_def d where not exists (select from pg_class c where c.oid = d.target)
$$;

comment on function cio._forget_dropped() is 'forgets mirrors whose local table was dropped';

create function cio.alter_mirror(
    target regclass,
    source regclass default null,
    bucket interval default null,
    tiers jsonb default null,
    start_time timestamptz default null,
    retention interval default null,
    deletes text default null,
    max_delete_fraction float8 default null,
    on_new_column text default null
) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    old cio.mirror_def := cio._own_mirror(target);
    m cio.mirror_def := old;
begin
    m.source := coalesce(source, m.source);
    m.page_source := case when m.mode = 'cursor' then cio._page_source(m.source) end;
    m.bucket := coalesce(bucket, m.bucket);
    m.tiers := coalesce(tiers, m.tiers);
    m.start_time := coalesce(start_time, m.start_time);
    m.retention := coalesce(retention, m.retention);
    m.deletes := coalesce(deletes, m.deletes);
    m.max_delete_fraction := coalesce(max_delete_fraction, m.max_delete_fraction);
    m.on_new_column := coalesce(on_new_column, m.on_new_column);
    m := cio._check_definition(m);
    perform cio._check_types(m);
    update cio.mirror_def d
    set source = m.source, page_source = m.page_source, bucket = m.bucket, tiers = m.tiers, tier_ages = m.tier_ages,
        tier_periods = m.tier_periods, lookback = m.lookback, start_time = m.start_time, retention = m.retention,
        deletes = m.deletes, max_delete_fraction = m.max_delete_fraction, on_new_column = m.on_new_column
    where d.mirror_id = m.mirror_id;
    if m.mode = 'window' and m.bucket <> old.bucket then
        perform cio._regrid(m);
    end if;
    if m.bucket <> old.bucket or m.source <> old.source then
        perform cio._make_views(m);
    end if;
end $$;

comment on function cio.alter_mirror(regclass, regclass, interval, jsonb, timestamptz, interval, text, float8, text) is
'changes a mirror; null keeps what is';

create function cio._regrid(m cio.mirror_def) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from cio.bucket b where b.mirror_id = m.mirror_id for update;
    create temporary table _cio_old on commit drop as select * from cio.bucket b where b.mirror_id = m.mirror_id;
    delete from cio.bucket b where b.mirror_id = m.mirror_id;
    -- What a new bucket promises is the least of what those below it promised.
    insert into cio.bucket (mirror_id, lo, hi, fetched_at, invalid, suspect, rows_seen)
    select m.mirror_id, g.lo, g.lo + m.bucket,
           case when bool_and(o.fetched_at is not null) then min(o.fetched_at) end,
           bool_or(o.invalid), bool_or(o.suspect),
           sum(o.rows_seen * least(1, extract(epoch from m.bucket) / extract(epoch from o.hi - o.lo)))::int
    from generate_series(
        (select date_bin(m.bucket, min(b.lo), m.origin) from pg_temp._cio_old b),
        (select max(b.hi) from pg_temp._cio_old b) - interval '1 microsecond', m.bucket) g(lo)
    join pg_temp._cio_old o on o.lo < g.lo + m.bucket and o.hi > g.lo
    group by g.lo;
    drop table pg_temp._cio_old;
end $$;

comment on function cio._regrid(cio.mirror_def) is 'the ledger again, with buckets of another length';

create function cio.unmirror(target regclass, drop_table boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    view regclass;
begin
    -- First the row: it waits for a refresh that is reading.
    delete from cio.mirror_def d where d.mirror_id = m.mirror_id;
    perform cio._drop_schedule(target);
    foreach view in array cio._views_of(target) loop
        execute format('drop view %s', view);
    end loop;
    if drop_table then
        execute format('drop table %s', target);
    end if;
end $$;

comment on function cio.unmirror(regclass, boolean) is
'ends a mirror: its state and its views go, the local table stays unless drop_table';

create function cio.pause(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._own_mirror(target);
    update cio.mirror_def d set paused = true where d.target = pause.target and not d.paused;
end $$;

comment on function cio.pause(regclass) is 'until cio.resume no refresh reads for this mirror; one at work stops after its unit';

create function cio.resume(target regclass) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform cio._own_mirror(target);
    update cio.mirror_def d set paused = false where d.target = resume.target and d.paused;
end $$;

comment on function cio.resume(regclass) is 'ends cio.pause';

create function cio.invalidate(target regclass, lo timestamptz default '-infinity', hi timestamptz default 'infinity') returns int
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    n int;
begin
    update cio.bucket b
    set invalid = b.fetched_at is not null, attempted_at = null, next_attempt_at = null
    where b.mirror_id = m.mirror_id and b.lo < coalesce(invalidate.hi, 'infinity')
      and b.hi > coalesce(invalidate.lo, '-infinity') and not cio._is_frozen(m, b, cio._now());
    get diagnostics n = row_count;
    return n;
end $$;

comment on function cio.invalidate(regclass, timestamptz, timestamptz) is
'makes the buckets of a range due, so that the next refresh reads them; how many they are';

create function cio.reset(target regclass, truncate boolean default false) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
begin
    delete from cio.bucket b where b.mirror_id = m.mirror_id;
    delete from cio.segment s where s.mirror_id = m.mirror_id;
    if truncate then
        execute format('truncate %s', target);
    end if;
end $$;

comment on function cio.reset(regclass, boolean) is
'forgets what was read, so that the next refresh reads everything that the source still has; truncate empties the table too';

create function cio.forget(target regclass, variadic key text[]) returns bigint
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
    n bigint;
begin
    if cardinality(m.key_columns) = 1 then
        execute format('delete from %s t where t.%I::text = any ($1)', target, m.key_columns[1]) using key;
    elsif cardinality(m.key_columns) = cardinality(key) then
        execute format('delete from %s t where (%s) = (%s)', target, cio._list(m.key_columns, 't.%I::text'),
            (select string_agg(format('$1[%s]', i), ', ') from generate_subscripts(key, 1) i)) using key;
    else
        perform cio._bad(format('the key of %s has %s parts, not %s', target, cardinality(m.key_columns), cardinality(key)),
            format('SELECT cio.forget(%L, %s);', target, cio._list(m.key_columns, '''%I''')));
    end if;
    get diagnostics n = row_count;
    return n;
end $$;

comment on function cio.forget(regclass, text[]) is
'erases rows by key, for an erasure request; how many there were. Erase at the source first, or the next reading brings them back';
