-- Each function that takes a regclass takes the name as text too: a literal is text first, so that a name that is not
-- there, or that the caller may not see, meets an error of ours and not one of PostgreSQL's parser.

create function cio._unknown_table(wanted text, argument text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    import text;
begin
    -- An endpoint whose table was not imported, into a schema that has others of the same server.
    select format('IMPORT FOREIGN SCHEMA customerio LIMIT TO (%I) FROM SERVER %I INTO %I;', e.endpoint, s.srvname, n.nspname)
    into import
    from cio._endpoints() e
    join pg_namespace n on wanted = format('%I.%I', n.nspname, e.endpoint)
    join pg_class c on c.relnamespace = n.oid
    join pg_foreign_table f on f.ftrelid = c.oid
    join pg_foreign_server s on s.oid = f.ftserver
    where argument = 'source' and exists (select from cio._endpoints() o where o.endpoint = cio._endpoint_of(c.oid))
    order by c.oid limit 1;
    raise exception 'cio: there is no table %', wanted
        using errcode = 'undefined_table',
            hint = coalesce(import, case argument
                when 'source' then 'SELECT ftrelid::regclass FROM pg_foreign_table;'
                when 'mv' then 'SELECT schemaname, matviewname FROM pg_matviews;'
                else 'SELECT target, source FROM cio.mirrors;' end);
end $$;

comment on function cio._unknown_table(text, text) is 'an error about a name of nothing, with the command that shows the names for this argument';

create function cio._unseen_table(said text, wanted text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'cio: %', said
        using errcode = 'insufficient_privilege',
            hint = format('GRANT USAGE ON SCHEMA %I TO %I;', (parse_ident(wanted))[1], current_user);
end $$;

comment on function cio._unseen_table(text, text) is 'an error about a name in a schema that the caller may not use, with the command that gives the right';

create function cio._named(wanted text, argument text) returns regclass
language plpgsql stable
as $$
declare
    found_table regclass;
begin
    -- No SET here: a name without a schema is looked for along the caller's search_path.
    begin
        found_table := pg_catalog.to_regclass(wanted);
    exception
        when insufficient_privilege then
            perform cio._unseen_table(sqlerrm, wanted);
        when invalid_name or syntax_error or feature_not_supported then
            found_table := null;
    end;
    if found_table is null and wanted is not null then
        perform cio._unknown_table(wanted, argument);
    end if;
    return found_table;
end $$;

comment on function cio._named(text, text) is 'the table of that name; an error with a hint when there is none';

create function cio._check_call(callee regprocedure) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not has_function_privilege(callee, 'EXECUTE') then
        perform cio._refuse_right('function ' || callee, format('GRANT EXECUTE ON FUNCTION %s TO %I;', callee, current_user));
    end if;
end $$;

comment on function cio._check_call(regprocedure) is 'an error when the caller may not call a function that is not for everybody';

create function cio._make_by_name() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $make$
declare
    f record;
    call text;
    body text;
begin
    for f in
        select p.oid, p.proname as name, p.prokind = 'p' as is_procedure, p.proretset or p.prorettype = 'record'::regtype as has_rows,
               case when p.prokind = 'p' then '' when p.provolatile = 's' then 'stable' else 'volatile' end as volatility,
               obj_description(p.oid, 'pg_proc') as meaning, pg_get_function_result(p.oid) as result,
               replace(pg_get_function_arguments(p.oid), 'regclass', 'text') as arguments,
               replace(pg_get_function_identity_arguments(p.oid), 'regclass', 'text') as identity,
               (select string_agg(case
                    when t.type = 'regclass'::regtype then format('cio._named(%I, %1$L)', p.proargnames[t.n])
                    when p.provariadic <> 0 and t.n = p.pronargs then format('variadic %I', p.proargnames[t.n])
                    else quote_ident(p.proargnames[t.n]) end, ', ' order by t.n)
                from unnest(p.proargtypes::oid[]) with ordinality t(type, n)) as given,
               not has_function_privilege('public', p.oid, 'EXECUTE') as is_reserved
        from pg_proc p
        where p.pronamespace = 'cio'::regnamespace and p.proname !~ '^_' and 'regclass'::regtype = any (p.proargtypes::oid[])
          and not exists (select from pg_proc o where o.pronamespace = p.pronamespace and o.proname = p.proname and o.oid <> p.oid)
        order by p.proname
    loop
        call := format('cio.%I(%s)', f.name, f.given);
        if f.is_procedure then
            body := format('begin call %s; end', call);
        else
            -- Two statements: the right to call is asked of the second one only when it begins.
            body := case when f.is_reserved then format('select cio._check_call(%L); ', f.oid::regprocedure) else '' end
                || case when f.has_rows then 'select * from ' else 'select ' end || call;
        end if;
        execute format('create %s cio.%I(%s) %s language %s %s as %L',
            case when f.is_procedure then 'procedure' else 'function' end, f.name, f.arguments, 'returns ' || f.result,
            case when f.is_procedure then 'plpgsql' else 'sql' end, f.volatility, body);
        execute format('comment on routine cio.%I(%s) is %L', f.name, f.identity, f.meaning);
    end loop;
end $make$;

comment on function cio._make_by_name() is
'makes, for each function with a regclass that has none yet, the one that takes a name; for scripts of the extension';

select cio._make_by_name();
