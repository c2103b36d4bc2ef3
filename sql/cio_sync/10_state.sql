-- The state. Each row belongs to who owns the mirror's local table: row security decides by that, so that every function
-- can run with the rights of its caller. No oids are stored but regclass, which a dump writes as a name.

create table cio.mirror_def (
    mirror_id int generated always as identity primary key,
    source regclass not null,
    page_source regclass,
    target regclass not null unique,
    mode text not null check (mode in ('window', 'cursor', 'snapshot')),
    key_columns name[] not null,
    time_column name,
    bucket interval not null,
    origin timestamptz not null,
    tiers jsonb not null,
    tier_ages interval[] not null,
    tier_periods interval[] not null,
    lookback interval not null,
    start_time timestamptz,
    retention interval,
    deletes text not null check (deletes in ('mark', 'delete', 'ignore')),
    max_delete_fraction float8 not null check (max_delete_fraction between 0 and 1),
    on_new_column text not null check (on_new_column in ('add', 'ignore', 'fail')),
    page_rows int not null,
    paused boolean not null default false,
    created_at timestamptz not null
);

comment on table cio.mirror_def is 'one row for each mirror, as cio.mirror made it; read cio.mirrors instead';
comment on column cio.mirror_def.page_source is 'cursor mode: the foreign table that tells the page of each row';
comment on column cio.mirror_def.tier_ages is 'ages below which a bucket is read again, ascending; from tiers';
comment on column cio.mirror_def.tier_periods is 'how often, by tier_ages';
comment on column cio.mirror_def.page_rows is 'rows of one request, to estimate requests from rows';

create table cio.bucket (
    mirror_id int not null references cio.mirror_def on delete cascade,
    lo timestamptz not null,
    hi timestamptz not null,
    fetched_at timestamptz,
    attempted_at timestamptz,
    invalid boolean not null default false,
    suspect boolean not null default false,
    rows_seen int,
    pages int,
    attempts int not null default 0,
    last_error text,
    next_attempt_at timestamptz,
    primary key (mirror_id, lo),
    check (lo < hi)
);

comment on table cio.bucket is 'the ledger: when each range of time was read; mirrors without ranges have one row from -infinity to infinity';
comment on column cio.bucket.fetched_at is 'start of the last complete reading: what happened later is not promised to be there';
comment on column cio.bucket.attempted_at is 'start of the last reading, complete or not';
comment on column cio.bucket.attempts is 'readings that failed since the last complete one';

create table cio.segment (
    segment_id bigint generated always as identity primary key,
    mirror_id int not null references cio.mirror_def on delete cascade,
    top_at timestamptz,
    top_key text,
    bottom_at timestamptz,
    bottom_key text,
    next_page text,
    is_joining boolean not null default false,
    is_unordered boolean not null default false,
    rewalks int not null default 0,
    pages int not null default 0
);

create index on cio.segment (mirror_id);

comment on table cio.segment is 'cursor mode: stretches of the feed without a hole, newest to oldest';
comment on column cio.segment.next_page is 'token of the page below; empty for the head of the feed, null when nothing is left to read';
comment on column cio.segment.is_joining is 'the segment below was met, one page of overlap is still to be read';
comment on column cio.segment.rewalks is 'how often the token was refused, so that reading began again at the head';

create table cio.run (
    run_id bigint generated always as identity primary key,
    mirror_id int not null references cio.mirror_def on delete cascade,
    kind text not null,
    pid int not null,
    backend_start timestamptz,
    statement_at timestamptz not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    status text not null default 'running',
    units_done int not null default 0,
    units_failed int not null default 0,
    units_total int,
    range_lo timestamptz,
    range_hi timestamptz,
    force boolean not null default false,
    position timestamptz,
    empty_units int not null default 0,
    pages int not null default 0,
    rows_seen bigint not null default 0,
    rows_inserted bigint not null default 0,
    rows_updated bigint not null default 0,
    rows_deleted bigint not null default 0,
    rows_withheld bigint not null default 0,
    sqlstate text,
    message text,
    detail text
);

create index on cio.run (mirror_id, started_at);

comment on column cio.run.statement_at is 'when the statement of the run began, by the server''s clock; tells whether its backend is still at it';
comment on column cio.run.position is 'beginning of the bucket that was read last';
comment on column cio.run.empty_units is 'buckets without rows in a row; ends a backfill';
comment on table cio.run is 'each refresh that had something to do; read cio.runs instead, which knows the interrupted ones';

select pg_catalog.pg_extension_config_dump('cio.mirror_def', '');
select pg_catalog.pg_extension_config_dump('cio.bucket', '');
select pg_catalog.pg_extension_config_dump('cio.segment', '');
select pg_catalog.pg_extension_config_dump('cio.run', '');
select pg_catalog.pg_extension_config_dump('cio.mirror_def_mirror_id_seq', '');
select pg_catalog.pg_extension_config_dump('cio.segment_segment_id_seq', '');
select pg_catalog.pg_extension_config_dump('cio.run_run_id_seq', '');

-- Who owns the target owns the mirror; who may read the target, or monitors the server, may see it.

create function cio._is_owner(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select pg_has_role(c.relowner, 'USAGE') from pg_class c where c.oid = target
$$;

comment on function cio._is_owner(regclass) is 'whether the caller has the rights of the table''s owner; null when there is no such table';

create function cio._may_see(target regclass) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select pg_has_role(c.relowner, 'USAGE') or has_table_privilege(c.oid, 'SELECT') or pg_has_role('pg_monitor', 'USAGE')
    from pg_class c where c.oid = target
$$;

comment on function cio._may_see(regclass) is 'whether the caller may see the state of the mirror with this table';

alter table cio.mirror_def enable row level security;
alter table cio.bucket enable row level security;
alter table cio.segment enable row level security;
alter table cio.run enable row level security;

create policy seen on cio.mirror_def for select using (cio._may_see(target));
create policy owned_insert on cio.mirror_def for insert with check (cio._is_owner(target));
create policy owned_update on cio.mirror_def for update using (cio._is_owner(target)) with check (cio._is_owner(target));
create policy owned_delete on cio.mirror_def for delete using (cio._is_owner(target));

do $$
declare
    child text;
    verb text;
begin
    foreach child in array array['bucket', 'segment', 'run'] loop
        execute format('create policy seen on cio.%I for select using
            (exists (select from cio.mirror_def d where d.mirror_id = %1$I.mirror_id))', child);
        foreach verb in array array['insert with check', 'update using', 'delete using'] loop
            execute format('create policy %I on cio.%I for %s
                (exists (select from cio.mirror_def d where d.mirror_id = %2$I.mirror_id and cio._is_owner(d.target)))',
                'owned_' || split_part(verb, ' ', 1), child, verb);
        end loop;
    end loop;
end $$;

grant select, insert, update, delete on cio.mirror_def, cio.bucket, cio.segment, cio.run to public;
