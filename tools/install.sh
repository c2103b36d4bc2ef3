#!/usr/bin/env bash
# install.sh install|uninstall PREFIX PG_CONFIG: cio_fdw in a PostgreSQL of the system.
#
# `install` makes a virtual environment at PREFIX/lib/cio_fdw/venv with the package in it, and puts the extension, which
# embeds that environment's interpreter, into the server. Running it again upgrades.
set -euo pipefail

action=$1 prefix=$2 pg_config=$3
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(dirname "$tools")
home=$prefix/lib/cio_fdw
die() { printf 'cio_fdw: %s\n' "$*" >&2; exit 1; }

[[ -n $pg_config ]] || die "say which server: sudo make $action PG_CONFIG=/usr/bin/pg_config"
pg_config=$(command -v "$pg_config") || die "PG_CONFIG=$3 is not a program (package postgresql-server-dev-NN)"
library_dir=$("$pg_config" --pkglibdir)
[[ -w $library_dir ]] || die "writing to $library_dir needs root: sudo make $action PG_CONFIG=$pg_config"
mkdir -p "$home" 2>/dev/null || true
[[ -w $home ]] || die "writing to $home needs root, or another PREFIX=…"
umask 022 # the server's user reads it
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

if [[ $action == uninstall ]]; then
    [[ -x $home/venv/bin/cio-fdw ]] || die "nothing is installed in $home"
    "$home/venv/bin/cio-fdw" uninstall-host --pg-config "$pg_config"
    printf 'cio_fdw: %s\n' "kept $home/venv, which other servers may use; remove it with: rm -r $home" >&2
    exit
fi

# Said before anything is fetched. Debian's server brings pgxs.mk; its headers are a package of their own.
headers=$("$pg_config" --includedir-server)
if [[ ! -f $headers/postgres.h ]]; then
    major=$("$pg_config" --version | sed -E 's/^[^0-9]*([0-9]+).*/\1/')
    die "$headers/postgres.h is missing: sudo apt-get install postgresql-server-dev-$major"
fi
python=$("$tools/python-for-server.sh")
source=$(mktemp -d)
trap 'rm -rf "$source"' EXIT
cp -R "$checkout"/{setup.py,pyproject.toml,README.md,LICENSE,cio_fdw,host,sql} "$source"
lock=()
if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then lock=(--constraint "$checkout/requirements.lock"); fi
[[ -x $home/venv/bin/python ]] || "$python" -m venv "$home/venv"
"$home/venv/bin/python" -m pip install -qq "${lock[@]}" 'setuptools>=77.0.3'
"$home/venv/bin/python" -m pip install -qq --no-build-isolation --force-reinstall --no-deps "$source"
"$home/venv/bin/python" -m pip install -qq --no-build-isolation "${lock[@]}" "$source"
"$home/venv/bin/cio-fdw" install-host --pg-config "$pg_config"
