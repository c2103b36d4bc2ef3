-- Columns that come and go at the source.

create function cio._other_source(m cio.mirror_def) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.oid::regclass::text
    from pg_foreign_table f
    join pg_class c on c.oid = f.ftrelid
    where has_table_privilege(c.oid, 'SELECT')
      and c.relname = (select t.relname from pg_class t where t.oid = m.target)
      and (m.mode <> 'cursor' or cio._page_source(c.oid) is not null)
      and not exists (select from unnest(m.key_columns || m.time_column) n
                      where n is not null and not exists (select from cio._columns(c.oid) x where x.name = n))
    order by c.oid limit 1
$$;

comment on function cio._other_source(cio.mirror_def) is
'a foreign table that could be the source of a mirror whose own was dropped: of the same name, with its key';

create function cio._check_types(m cio.mirror_def) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    source regclass := coalesce(m.page_source, m.source);
    other record;
begin
    if not exists (select from pg_class c where c.oid = source) then
        raise exception 'cio: the source of % was dropped', m.target
            using errcode = 'undefined_table',
                hint = case when cio._other_source(m) is null then format('SELECT cio.unmirror(%L);', m.target)
                            else format('SELECT cio.alter_mirror(%L, source => %L);', m.target, cio._other_source(m)) end;
    end if;
    select s.name, s.type, t.type as has into other
    from cio._columns(source) s join cio._columns(m.target) t on t.name = s.name
    where t.type <> s.type
    order by s.number limit 1;
    if other.name is not null then
        raise exception 'cio: column % of % is % now, and % in %', quote_ident(other.name), source, other.type, other.has, m.target
            using errcode = 'datatype_mismatch',
                hint = concat_ws(' ', 'DROP VIEW ' || nullif(array_to_string(cio._views_of(m.target), ', '), '') || ';',
                    format('ALTER TABLE %s ALTER COLUMN %I TYPE %s USING %2$I::%3$s;', m.target, other.name, other.type),
                    format('SELECT cio.sync_columns(%L);', m.target));
    end if;
    select n as name into other from unnest(m.key_columns || m.time_column) n
    where n is not null and (not exists (select from cio._columns(source) c where c.name = n)
        or not exists (select from cio._columns(m.target) c where c.name = n)) limit 1;
    if other.name is not null then
        raise exception 'cio: column %, which the mirror % needs, is gone', quote_ident(other.name), m.target
            using errcode = 'undefined_column', hint = format('SELECT cio.unmirror(%L);', m.target);
    end if;
end $$;

comment on function cio._check_types(cio.mirror_def) is 'an error when source and target no longer fit each other';

create function cio._new_columns(m cio.mirror_def) returns table (name name, type text, number int)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.name, s.type, s.number
    from cio._columns(coalesce(m.page_source, m.source)) s
    where not exists (select from cio._columns(m.target) t where t.name = s.name)
    order by s.number
$$;

comment on function cio._new_columns(cio.mirror_def) is 'columns that the source has and the target lacks';

create function cio._check_columns(m cio.mirror_def) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    added text;
    timeout text := current_setting('lock_timeout');
begin
    perform cio._check_types(m);
    if m.on_new_column = 'ignore' then
        return;
    end if;
    select string_agg(quote_ident(c.name), ', ' order by c.number) into added from cio._new_columns(m) c;
    if added is null then
        return;
    elsif m.on_new_column = 'fail' then
        raise exception 'cio: % has new columns: %', m.source, added
            using errcode = 'object_not_in_prerequisite_state', hint = format('SELECT cio.sync_columns(%L);', m.target);
    end if;
    -- A reader of the table must not hold everybody up: without the lock at once, the columns come with the next refresh.
    perform set_config('lock_timeout', '2s', true);
    begin
        perform cio._add_columns(m);
        raise notice 'cio: %: new columns: %', m.target, added;
    exception when lock_not_available then
        raise warning 'cio: %: new columns % wait until nobody uses the table', m.target, added
            using hint = format('SELECT cio.sync_columns(%L);', m.target);
    end;
    perform set_config('lock_timeout', timeout, true);
end $$;

comment on function cio._check_columns(cio.mirror_def) is 'what on_new_column says, before a refresh';

create function cio._add_columns(m cio.mirror_def) returns setof name
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    c record;
begin
    for c in select * from cio._new_columns(m) loop
        execute format('alter table %s add column %I %s', m.target, c.name, c.type);
        return next c.name;
    end loop;
    if found then
        perform cio._comment_columns(m, m.target);
        perform cio._make_views(m);
        perform cio.invalidate(m.target);
    end if;
end $$;

comment on function cio._add_columns(cio.mirror_def) is 'adds the new columns of the source, which the next readings fill';

create function cio.sync_columns(target regclass) returns setof name
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    m cio.mirror_def := cio._own_mirror(target);
begin
    perform cio._check_types(m);
    return query select * from cio._add_columns(m);
    if cardinality(cio._views_of(target)) < (case when m.mode = 'window' then 2 else 1 end) then
        perform cio._make_views(m);
    end if;
end $$;

comment on function cio.sync_columns(regclass) is
'adds the columns that the source has and the local table lacks, and makes what can still be read due; their names';
