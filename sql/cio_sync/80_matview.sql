create function cio._can_be_concurrent(mv regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select c.relispopulated and exists (
        select from pg_index i
        where i.indrelid = c.oid and i.indisunique and i.indisvalid and i.indpred is null and i.indexprs is null)
    from pg_class c where c.oid = mv
$$;

comment on function cio._can_be_concurrent(regclass) is 'whether REFRESH MATERIALIZED VIEW CONCURRENTLY is possible';

create function cio.refresh_matview(
    mv regclass, max_drop float8 default 0.5, concurrently boolean default null, out rows_before bigint, out rows_after bigint
)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    kind "char" := (select c.relkind from pg_class c where c.oid = mv);
    populated boolean := (select c.relispopulated from pg_class c where c.oid = mv);
begin
    if kind is distinct from 'm' then
        raise exception 'cio: % is not a materialized view', mv
            using errcode = 'wrong_object_type',
                hint = case when exists (select from cio.mirror_def d where d.target = mv) then format('CALL cio.refresh(%L);', mv)
                            else 'SELECT matviewname FROM pg_matviews;' end;
    elsif not cio._may_refresh_matview(mv) then
        raise exception 'cio: must be owner of materialized view %', mv
            using errcode = 'insufficient_privilege',
                hint = format('SET ROLE %I;', (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = mv));
    elsif max_drop is null or not max_drop between 0 and 1 then
        perform cio._bad('max_drop must be between 0 and 1', format('SELECT * FROM cio.refresh_matview(%L, max_drop => 0.5);', mv));
    elsif refresh_matview.concurrently and not cio._can_be_concurrent(mv) then
        raise exception 'cio: % cannot be refreshed concurrently: it has no rows yet, or no unique index', mv
            using errcode = 'object_not_in_prerequisite_state', hint = format('SELECT * FROM cio.refresh_matview(%L);', mv);
    end if;
    rows_before := 0;
    if populated then
        execute format('select count(*) from %s', mv) into rows_before;
    end if;
    -- For the rest of the transaction: what is kept here must be what the API says now (a setting of cio_fdw).
    perform set_config('cio_fdw.cache', 'off', true);
    execute format('refresh materialized view %s %s',
        case when coalesce(refresh_matview.concurrently, cio._can_be_concurrent(mv)) then 'concurrently' else '' end, mv);
    execute format('select count(*) from %s', mv) into rows_after;
    if rows_after < rows_before * (1 - max_drop) then
        raise exception 'cio: refreshing % would leave % of % rows; it stays as it was', mv, rows_after, rows_before
            using errcode = 'object_not_in_prerequisite_state',
                hint = format('SELECT * FROM cio.refresh_matview(%L, max_drop => 1);', mv);
    end if;
end $$;

comment on function cio.refresh_matview(regclass, float8, boolean) is
'refreshes a materialized view, concurrently when that is possible; when more than max_drop of its rows would vanish, it stays as it was';
