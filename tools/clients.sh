#!/usr/bin/env bash
# Fetches what `make clients` drives: drivers from Debian, Python packages into environments of the runtime.
#
#     tools/clients.sh RUNTIME
#
# RUNTIME/clients holds the libraries that tests import, RUNTIME/dbt the program dbt, whose pins would fight with them.
# As root, missing Debian packages are installed; otherwise one line names them. Nothing is fetched when all is there.
set -euo pipefail

say() { printf 'cio_fdw: %s\n' "$*" >&2; }

runtime=$1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../tests/clients" && pwd -P)
packages=(default-jre-headless libpostgresql-jdbc-java odbc-postgresql postgresql-client unixodbc)

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
# Another JRE, or the client of another repository, serves as well.
has() { command -v "$1" >/dev/null; }
lacking=()
for package in "${missing[@]}"; do
    case $package in
        default-jre-headless) has java || lacking+=("$package") ;;
        postgresql-client) has psql || lacking+=("$package") ;;
        *) lacking+=("$package") ;;
    esac
done
if ((${#lacking[@]})); then
    if [[ $EUID -ne 0 ]] || ! has apt-get; then
        say "install them first: sudo apt-get install ${lacking[*]}"
        exit 1
    fi
    say "installing ${lacking[*]} with apt-get"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${lacking[@]}"; } >&2
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
environment() {
    local directory=$runtime/$1 list=$here/$2 wanted
    wanted=$(sha256sum <"$list")
    if [[ -f $directory/complete && $(<"$directory/complete") == "$wanted" ]]; then return; fi
    say "installing $2"
    rm -rf "$directory"
    "$runtime/venv/bin/python" -m venv "$directory"
    "$directory/bin/python" -m pip install -qq --requirement "$list" >&2
    printf '%s\n' "$wanted" >"$directory/complete"
}
exec 9>"$runtime/lock"
flock 9
environment clients requirements.txt
environment dbt requirements-dbt.txt
