#!/usr/bin/env bash
# Makes the database at the first start, then runs the server; a command other than "postgres …" runs as it is.
#
#   POSTGRES_PASSWORD   of the superuser postgres, needed at the first start
#   CIO_APP_API_KEY     the App API key, needed at the first start; the server's processes do not have it
#   CIO_REGION          us (default) or eu
#   CIO_BASE_URL        root of the API, instead of the region; over http only on a loopback address
#   PGPORT              5432
#
# The first start runs $CIO_QUICKSTART, the statements of docs/quickstart.md. When it fails, the next start begins anew.
set -euo pipefail

[[ ${1:-} == postgres ]] || exec "$@"
shift

say() { printf 'cio-entrypoint: %s\n' "$*" >&2; }

undo() {
    say "the database could not be made; $PGDATA is emptied"
    [[ ! -f $PGDATA/postmaster.pid ]] || pg_ctl stop --silent --mode=immediate || true
    find "$PGDATA" -mindepth 1 -delete
}

first_start() {
    local socket
    : "${POSTGRES_PASSWORD:?set it to the password that the superuser postgres shall have}"
    : "${CIO_APP_API_KEY:?set it to an App API key of the workspace}"
    socket=$(mktemp -d)
    trap undo EXIT
    initdb --username=postgres --encoding=UTF8 --locale=C.UTF-8 --auth-local=trust --auth-host=scram-sha-256 \
        --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") >/dev/null
    printf 'host all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
    printf "listen_addresses = '*'\n" >>"$PGDATA/postgresql.conf"
    # No statement may reach the log: one of them holds the key.
    pg_ctl start --silent --wait --options="$(printf '%q ' "$@" -c listen_addresses= -c "unix_socket_directories=$socket" \
        -c log_statement=none -c log_min_error_statement=panic -c log_min_duration_statement=-1)"
    psql --no-psqlrc --quiet --host="$socket" --username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 \
        --set=place="$place" --set=where="$where" --file="$CIO_QUICKSTART" >/dev/null
    pg_ctl stop --silent --wait --mode=fast
    rmdir "$socket"
    trap - EXIT
}

place=region where=${CIO_REGION:-us}
if [[ -n ${CIO_BASE_URL:-} ]]; then place=base_url where=$CIO_BASE_URL; fi
[[ -s $PGDATA/PG_VERSION ]] || first_start "$@"
unset CIO_APP_API_KEY POSTGRES_PASSWORD
exec postgres "$@"
