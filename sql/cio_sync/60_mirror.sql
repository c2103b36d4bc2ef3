-- Making mirrors.

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
      and c.relowner = s.relowner -- not one that anybody else made on the same server
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
    perform cio._check_readable(source);
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
    present := cio._present(parts[1], parts[2]);
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
    m.page_rows := coalesce(least(known.page_rows, (options->>'page_size')::int), 1000);
    m.paused := false;
    m.created_at := cio._now();
    m := cio._check_definition(m, 'mirror', array[source::text, format('%I.%I', parts[1], parts[2])], jsonb_strip_nulls(jsonb_build_object(
        'mode', mode, 'key', key::text, 'time_column', time_column, 'bucket', nullif(bucket, '1 day')::text, 'tiers', tiers::text,
        'start_time', start_time::text, 'retention', retention::text, 'deletes', nullif(deletes, 'mark'),
        'max_delete_fraction', nullif(max_delete_fraction, 0.2)::text, 'on_new_column', nullif(on_new_column, 'add'),
        'if_not_exists', nullif(if_not_exists, false)::text)
        - case when tiers = '{"2 days": "15 min", "14 days": "6 hours", "60 days": "1 day"}' then 'tiers' else '' end));
    m.target := cio._target_table(m, parts[1], parts[2], present);
    insert into cio.mirror_def overriding user value values (m.*);
    select d.* into m from cio.mirror_def d where d.target = m.target;
    perform cio._make_views(m);
    return m.target;
end $$;

comment on function cio._mirror_new(
    regclass, text, name, text, name[], name, interval, jsonb, timestamptz, interval, text, float8, text, boolean
) is 'does the work of cio.mirror';

create function cio._present(schema name, relation name) returns regclass
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- By number: by name it would be an error in a schema that the caller may not use.
    select c.oid::regclass from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = schema and c.relname = relation
$$;

comment on function cio._present(name, name) is 'the relation of that name; null when there is none';

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
        perform cio._check_makeable(schema);
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
    hint text := format('SELECT cio.mirror(%L, %L);', m.source, (
        select format('%I.%I', n.nspname, left(c.relname, 56) || '_mirror')
        from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = present));
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
