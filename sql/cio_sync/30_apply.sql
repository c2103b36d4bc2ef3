-- One reading of the source, applied to the local table by one statement with one scan of the source.

create function cio._shared_columns(m cio.mirror_def) returns name[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(s.name order by s.number)
    from cio._columns(coalesce(m.page_source, m.source)) s
    join pg_attribute t on t.attrelid = m.target and t.attname = s.name and t.attnum > 0 and not t.attisdropped
        and t.attgenerated = ''
$$;

comment on function cio._shared_columns(cio.mirror_def) is 'the columns that both source and target have';

create function cio._list(names name[], form text, separator text default ', ') returns text
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
    select string_agg(replace(form, '%I', quote_ident(n)), separator order by i) from unnest(names) with ordinality u(n, i)
$$;

comment on function cio._list(name[], text, text) is 'the names, quoted, each put for %I of the form';

create function cio._same(m cio.mirror_def, one text, other text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select cio._list(m.key_columns, one || '.%I = ' || other || '.%I', ' and ')
$$;

comment on function cio._same(cio.mirror_def, text, text) is 'the condition that two aliases have the same key';

create function cio._upsert_sql(m cio.mirror_def, columns name[], seen_at text) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- *<> compares the stored bytes, so that it works for every type; an equal row is not written.
    select format(
        $sql$insert into %1$s as t (%2$s, _first_seen_at, _changed_at)
            select %2$s, %3$s, %3$s from s
            on conflict (%4$s) do update
                set (%2$s, _changed_at, _deleted_at) = row(%5$s, excluded._changed_at, null)
                where row(%6$s)::record *<> row(%5$s)::record or t._deleted_at is not null
            returning 1$sql$,
        m.target, cio._list(columns, '%I'), seen_at, cio._list(m.key_columns, '%I'),
        cio._list(columns, 'excluded.%I'), cio._list(columns, 't.%I'))
$$;

comment on function cio._upsert_sql(cio.mirror_def, name[], text) is
'INSERT … ON CONFLICT from the rows of s, which writes only what differs';

create function cio._parent_count(m cio.mirror_def) returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    copy regclass;
    n bigint := 0;
begin
    if cardinality(m.key_columns) = 1 then
        return n;
    end if;
    -- A mirror of the parents tells it, or else what their table's last scan or ANALYZE left. No request is made.
    select d.target, greatest(0, c.reltuples)::bigint into copy, n
    from cio._endpoints() e
    join pg_foreign_table own on own.ftrelid = m.source
    join pg_foreign_table f on f.ftserver = own.ftserver and cio._endpoint_of(f.ftrelid) = e.parent
    join pg_class c on c.oid = f.ftrelid
    left join cio.mirror_def d on d.source = f.ftrelid and has_table_privilege(d.target, 'SELECT')
    where e.endpoint = cio._endpoint_of(m.source)
    order by d.target is null, c.reltuples desc limit 1;
    if copy is not null then
        execute format('select count(*) from %s where _deleted_at is null', copy) into n;
    end if;
    return coalesce(n, 0);
end $$;

comment on function cio._parent_count(cio.mirror_def) is
'how many parents there are of a table that is read with a list for each; 0 when it is not known, or there are none';

create function cio._apply_sql(m cio.mirror_def) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- $1 lo, $2 hi, $3 start of the reading, $4 force, $5 whether rows may be deleted at all, $6 parents, if known.
    -- One row can come twice, as pages drift: distinct on, or the upsert would fail. Only a complete reading gets here,
    -- since a scan that fails raises; still, rows that vanish in masses are believed only with force.
    with part as (
        select cio._shared_columns(m) as columns,
               case when m.mode = 'window' then format('where x.%1$I >= $1 and x.%1$I < $2', m.time_column) else '' end as range)
    select format(
        $sql$with s as materialized (
            select distinct on (%1$s) %2$s from %3$s x %4$s order by %1$s
        ), l as materialized (
            select %1$s from %5$s x %6$s x._deleted_at is null
        ), gone as materialized (
            select * from l where not exists (select from s where %7$s)
        ), n as materialized (
            select (select count(*) from s) as seen, (select count(*) from gone) as gone, (select count(*) from l) as live
        ), verdict as materialized (
            select n.*, $5 and n.gone > 0 and ($4 or (n.seen > 0 and n.gone <= greatest(10, %8$L::float8 * n.live))) as believed
            from n
        ), d as (
            %9$s returning 1
        ), new as materialized (
            select count(*) as n from s where not exists (select from %5$s t where %10$s)
        ), i as (
            %11$s
        )
        select v.seen, %12$s as requests, new.n as inserted, (select count(*) from i) - new.n as updated, (select count(*) from d) as deleted,
               case when $5 and not v.believed then v.gone else 0 end as withheld
        from verdict v, new$sql$,
        cio._list(m.key_columns, '%I'),
        cio._list(columns, '%I'),
        m.source,
        range,
        m.target,
        case when range = '' then 'where' else range || ' and' end,
        cio._same(m, 's', 'l'),
        m.max_delete_fraction,
        format(
            case when m.deletes = 'delete' then 'delete from %s t using gone, verdict where verdict.believed and %s'
                 else 'update %s t set _deleted_at = $3, _changed_at = $3 from gone, verdict where verdict.believed and %s' end,
            m.target, cio._same(m, 't', 'gone')),
        cio._same(m, 't', 's'),
        cio._upsert_sql(m, columns, '$3'),
        -- A table with a parent in its key is read with one list for each parent, beside the list of those.
        case when cardinality(m.key_columns) = 1 then format('greatest(1, ceil(v.seen / %s::float8))', m.page_rows)
             else format('(select 1 + coalesce(sum(ceil(c.n / %s::float8)), 0) + greatest(0, $6 - count(*)) from (select count(*) as n from s group by %I) c)',
                 m.page_rows, m.key_columns[1]) end)
    from part
$$;

comment on function cio._apply_sql(cio.mirror_def) is
'the statement that reads a range of the source and brings the target in step; gives seen, requests (estimated), inserted, updated, deleted, withheld';
