-- What each column means that was not described beside its table: one text for one name, wherever it stands.

do $$
declare
    c record;
begin
    for c in
        select a.attrelid::regclass as relation, a.attname as name, t.meaning
        from (values
            (null, 'mirror_id', 'the mirror, in cio.mirror_def'),
            (null, 'source', 'the foreign table that is copied'),
            (null, 'target', 'the local table'),
            (null, 'owner', 'who owns the local table, and so the mirror'),
            (null, 'mode', 'window, cursor or snapshot'),
            (null, 'key_columns', 'columns that identify a row'),
            (null, 'time_column', 'when a row was created; null in snapshot mode'),
            (null, 'bucket', 'length of a bucket'),
            (null, 'origin', 'a time at which a bucket begins'),
            (null, 'tiers', 'age below which, and how often, a bucket is read again'),
            (null, 'lookback', 'the largest age of the tiers'),
            (null, 'start_time', 'where the mirror begins; null: where the retention ends'),
            (null, 'retention', 'how long the source keeps rows; null: for ever'),
            (null, 'deletes', 'what becomes of rows that the source deleted: mark, delete or ignore'),
            (null, 'max_delete_fraction', 'the part of a bucket that may vanish without question'),
            (null, 'on_new_column', 'what becomes of columns that the source gains: add, ignore or fail'),
            (null, 'paused', 'whether cio.pause was called'),
            (null, 'created_at', 'when cio.mirror was called'),
            (null, 'lo', 'beginning of the range, inclusive'),
            (null, 'hi', 'end of the range, exclusive'),
            (null, 'fetched_at', 'start of the last complete reading'),
            (null, 'invalid', 'whether cio.invalidate named it since'),
            (null, 'suspect', 'whether rows were missing that were not believed to be deleted'),
            ('mirrors', 'suspect', 'buckets in which rows were missing that were not believed to be deleted'),
            (null, 'rows_seen', 'rows that the source gave'),
            (null, 'pages', 'requests, estimated from rows and page size; exact in cursor mode'),
            (null, 'attempts', 'readings that failed since the last complete one'),
            (null, 'last_error', 'what went wrong last; null when it was made good'),
            (null, 'next_attempt_at', 'not read again before this time, after a failure'),
            (null, 'segment_id', 'higher for a segment that began later'),
            (null, 'top_at', 'time of the newest row'),
            (null, 'top_key', 'key of the newest row'),
            (null, 'bottom_at', 'time of the oldest row'),
            (null, 'bottom_key', 'key of the oldest row'),
            (null, 'is_unordered', 'whether a page was not sorted newest first, so that it is read to the end of the feed'),
            (null, 'run_id', 'number of the run'),
            (null, 'kind', 'refresh, range or backfill'),
            (null, 'pid', 'process of its backend'),
            (null, 'backend_start', 'when that backend began, as process numbers come again'),
            (null, 'started_at', 'when it began'),
            (null, 'ended_at', 'when it ended'),
            (null, 'status', 'running, done, partial, failed, skipped, paused or interrupted'),
            (null, 'units_done', 'buckets or pages read'),
            (null, 'units_failed', 'buckets or pages that could not be read'),
            (null, 'units_total', 'buckets that were due when it began; null in cursor mode'),
            (null, 'range_lo', 'beginning of the range that cio.refresh_range or cio.backfill named'),
            (null, 'range_hi', 'end of that range'),
            (null, 'force', 'whether missing rows are believed to be deleted'),
            (null, 'rows_inserted', 'rows that were new'),
            (null, 'rows_updated', 'rows that had changed'),
            (null, 'rows_deleted', 'rows that were gone'),
            (null, 'rows_withheld', 'rows that were missing and stayed'),
            (null, 'sqlstate', 'code of the last error'),
            (null, 'message', 'the last error'),
            (null, 'detail', 'detail of the last error'),
            (null, 'due', 'buckets that the next refresh reads'),
            (null, 'settled', 'buckets that are not read again'),
            (null, 'frozen', 'buckets that the source no longer holds in full, and the mirror does'),
            (null, 'lost', 'buckets that the source forgot before they were read'),
            (null, 'failed', 'buckets that could not be read'),
            (null, 'oldest_due_at', 'since when something is due; null when nothing is'),
            (null, 'next_due_at', 'when it is due next; null for never again'),
            (null, 'requests', 'requests, estimated from rows and page size; exact in cursor mode'),
            (null, 'done', 'units read'),
            (null, 'total', 'units in all; null in cursor mode'),
            (null, 'rows', 'rows that the source gave'),
            (null, 'running_for', 'since when it is at work'),
            (null, 'at', 'when it was tried last'),
            (null, 'error', 'what went wrong'),
            (null, 'reason', 'pending, failed or unread; lost when it cannot be read any more'),
            (null, 'lost_at', 'when the source forgets it; null when it keeps rows for ever'),
            (null, 'day', 'the day, in the time zone of the session'),
            (null, 'runs', 'runs that began on that day')
        ) t(relation, name, meaning)
        join pg_attribute a on a.attname = t.name and a.attnum > 0
        join pg_class r on r.oid = a.attrelid and r.relkind in ('r', 'v') and r.relnamespace = 'cio'::regnamespace
        where (t.relation is null or t.relation = r.relname)
          and col_description(a.attrelid, a.attnum) is null
        order by t.relation nulls last
    loop
        if col_description(c.relation, (select a.attnum from pg_attribute a
                                        where a.attrelid = c.relation and a.attname = c.name)) is null then
            execute format('comment on column %s.%I is %L', c.relation, c.name, c.meaning);
        end if;
    end loop;
end $$;
