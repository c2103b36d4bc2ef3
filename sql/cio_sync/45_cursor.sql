-- Cursor mode: a feed, newest first, of which pages are read by token.
--
--     head ┌──────┐ top                 A segment is a stretch without a hole. Every run begins one at the head and reads
--          │ run 3│                     down until it meets the one below; the two become one. An interrupted run leaves
--          └──────┘ bottom, next_page   its segment with a next_page: the gap, which the next run reads.
--             gap
--          ┌──────┐ top
--          │ run 1│
--          └──────┘ bottom, next_page null: the end of the feed

create function cio._open_segment(m cio.mirror_def) returns cio.segment
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select s.* from cio.segment s
    where s.mirror_id = m.mirror_id and s.next_page is not null
    order by s.segment_id desc
    limit 1
$$;

comment on function cio._open_segment(cio.mirror_def) is 'the newest segment below which something is left to read';

create function cio._claim_feed(m cio.mirror_def, r cio.run, now timestamptz) returns cio.bucket
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    b cio.bucket;
begin
    select x.* into b from cio.bucket x where x.mirror_id = m.mirror_id for no key update;
    if b.mirror_id is null or b.next_attempt_at > now then
        return null;
    end if;
    if (b.attempted_at is null or b.attempted_at < r.started_at) and cio._is_due(m, b, now) then
        update cio.bucket x set attempted_at = r.started_at where x.mirror_id = m.mirror_id;
        -- A higher number is a newer head; one that was interrupted before its first page holds nothing.
        delete from cio.segment s where s.mirror_id = m.mirror_id and s.top_at is null;
        insert into cio.segment (mirror_id, next_page) values (m.mirror_id, '');
    end if;
    if cio._open_segment(m) is null then
        return null;
    end if;
    return b;
end $$;

comment on function cio._claim_feed(cio.mirror_def, cio.run, timestamptz) is
'the row of the feed in the ledger while there is a page to read, with a new segment at the head when the feed is due';

create function cio._page_sql(m cio.mirror_def) returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    -- $1 token, $2 start of the reading, $3 and $4 the top of the segment below. row_number without an order counts the
    -- rows as they come.
    with part as (
        select cio._shared_columns(m) as columns, quote_ident(m.key_columns[1]) as key, quote_ident(m.time_column) as at)
    select format(
        $sql$with p as materialized (
            select %1$s, next_page as _next_page, row_number() over () as _n from %2$s where page = $1
        ), s as materialized (
            select distinct on (%3$s) %1$s from p order by %3$s
        ), f as materialized (
            select (select count(*) from s) as seen, max(_next_page) as next_page,
                   (array_agg(%4$s order by _n))[1] as top_at, (array_agg(%3$s::text order by _n))[1] as top_key,
                   (array_agg(%4$s order by _n desc))[1] as bottom_at, (array_agg(%3$s::text order by _n desc))[1] as bottom_key,
                   coalesce(bool_and(ordered), true) as ordered
            from (select *, %4$s <= lag(%4$s, 1, %4$s) over (order by _n) as ordered from p) o
        ), known as materialized (
            select s.%3$s::text as key, s.%4$s as at from s join %5$s t on t.%3$s = s.%3$s
        ), i as (
            %6$s
        )
        select f.*, (select count(*) from known) as old, (select count(*) from i) as written,
               exists (select from known where at < $3 or (at = $3 and key collate "C" <= $4)) as met
        from f$sql$,
        cio._list(columns, '%I'), m.page_source, key, at, m.target, cio._upsert_sql(m, columns, '$2'))
    from part
$$;

comment on function cio._page_sql(cio.mirror_def) is
'the statement that reads one page of a feed and applies it; gives counts, both ends, the next token, whether known rows were met';

create function cio._below(s cio.segment) returns cio.segment
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select x.* from cio.segment x
    where x.mirror_id = s.mirror_id and x.segment_id < s.segment_id
    order by x.segment_id desc
    limit 1
$$;

comment on function cio._below(cio.segment) is 'the next older segment of the same mirror';

create function cio._merge_below(s cio.segment) returns cio.segment
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    below cio.segment := cio._below(s);
begin
    delete from cio.segment x where x.segment_id = below.segment_id;
    s.is_joining := false;
    -- The row at its top may have been deleted since.
    if (below.top_at, below.top_key collate "C") > (s.top_at, s.top_key collate "C") then
        s.top_at := below.top_at;
        s.top_key := below.top_key;
    end if;
    -- When all of it lies above what was read by now, reading goes on with the own token.
    if (below.bottom_at, below.bottom_key collate "C") < (s.bottom_at, s.bottom_key collate "C") then
        s.bottom_at := below.bottom_at;
        s.bottom_key := below.bottom_key;
        s.next_page := below.next_page;
    end if;
    return s;
end $$;

comment on function cio._merge_below(cio.segment) is 'the segment after taking over the one below it';

create function cio._read_page(m cio.mirror_def, r cio.run, b cio.bucket, now timestamptz) returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    s cio.segment := cio._open_segment(m);
    below cio.segment := cio._below(s);
    page record;
    state text;
    message text;
    detail text;
begin
    begin
        execute cio._page_sql(m) into page using s.next_page, now, below.top_at, below.top_key;
    exception when others then
        get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail;
        -- A token that is refused costs a walk from the head; the head itself has no token.
        if s.next_page = '' or s.rewalks >= 3 or concat(message, ' ', detail) !~ 'HTTP 4(00|04|10|22)' then
            raise;
        end if;
        update cio.segment x set next_page = '', rewalks = x.rewalks + 1 where x.segment_id = s.segment_id;
        perform cio._count_unit(r.run_id, 0, 0, 0, 0, 0, 1);
        raise notice 'cio: %: the page token is refused, reading again from the head', m.target;
        return 'done';
    end;
    if not page.ordered and not s.is_unordered then
        raise warning 'cio: %: the feed is not sorted newest first; it is read to its end', m.target
            using hint = format('SELECT * FROM cio.gaps WHERE target = %L::regclass;', m.target);
        s.is_unordered := true;
    end if;
    s.pages := s.pages + 1;
    if s.top_at is null then
        s.top_at := page.top_at;
        s.top_key := page.top_key;
    end if;
    if s.bottom_at is null or (page.bottom_at, page.bottom_key collate "C") < (s.bottom_at, s.bottom_key collate "C") then
        s.bottom_at := page.bottom_at;
        s.bottom_key := page.bottom_key;
        s.rewalks := 0;
    end if;
    s := cio._after_page(s, below, nullif(page.next_page, ''), page.met);
    if s.top_at is null then
        delete from cio.segment x where x.segment_id = s.segment_id;
    else
        update cio.segment x
        set top_at = s.top_at, top_key = s.top_key, bottom_at = s.bottom_at, bottom_key = s.bottom_key,
            next_page = s.next_page, is_joining = s.is_joining, is_unordered = s.is_unordered, rewalks = s.rewalks, pages = s.pages
        where x.segment_id = s.segment_id;
    end if;
    perform cio._count_unit(r.run_id, page.seen, page.seen - page.old, page.written - (page.seen - page.old), 0, 0, 1);
    if cio._open_segment(m) is null then
        update cio.bucket x
        set fetched_at = x.attempted_at, invalid = false, attempts = 0, last_error = null, next_attempt_at = null
        where x.mirror_id = m.mirror_id;
    end if;
    return 'done';
end $$;

comment on function cio._read_page(cio.mirror_def, cio.run, cio.bucket, timestamptz) is
'reads one page of the newest open segment, applies it, and moves the segment';

create function cio._after_page(s cio.segment, below cio.segment, next_page text, met boolean) returns cio.segment
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    s.next_page := next_page;
    if next_page is null then
        -- The end of the feed. What lies below and was passed is part of this segment; a gap above older ones stays.
        s.is_unordered := false;
        s.is_joining := false;
        loop
            below := cio._below(s);
            exit when below.segment_id is null
                or (below.top_at, below.top_key collate "C") < (s.bottom_at, s.bottom_key collate "C");
            s := cio._merge_below(s);
            s.next_page := null;
        end loop;
    elsif s.is_unordered or below.segment_id is null then
        null;
    elsif s.is_joining then
        s := cio._merge_below(s);
    elsif met then
        -- One page more, for rows that arrived late.
        s.is_joining := true;
    end if;
    return s;
end $$;

comment on function cio._after_page(cio.segment, cio.segment, text, boolean) is
'the segment after a page: what is left to read below it, and which segments it has taken over';
