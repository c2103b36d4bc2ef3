#!/usr/bin/env bash
# Runs the second door's tests on Multicorn 1.4 of Debian 11 (PostgreSQL 13, CPython 3.9), in a chroot. Needs root.
#
#     tests/multicorn/debian11.sh /var/tmp/debian11 [pytest arguments]
#
# The chroot is made by debootstrap where it is not there yet, and kept: remove the directory afterwards. Everything is
# mounted in a namespace of its own, so that nothing is left mounted. $DEBIAN_MIRROR overrides deb.debian.org.
set -euo pipefail

root=${1:?a directory for the chroot}
shift
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
[[ $EUID -eq 0 ]] || { echo "debian11.sh: needs root: sudo $0 $root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "debian11.sh: install it first: apt-get install debootstrap" >&2; exit 1; }
[[ -f $root/etc/debian_version ]] || debootstrap --variant=minbase bullseye "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"

rm -rf "$root/src"
mkdir -p "$root/src" "$root/etc/ssl/certs"
tar --create --directory="$checkout" --exclude=__pycache__ --exclude='*.so' --exclude='*.o' \
    setup.py pyproject.toml README.md LICENSE cio_fdw host sql tests docs | tar --extract --directory="$root/src"
cp /etc/resolv.conf "$root/etc/resolv.conf"

cat >"$root/src/run.sh" <<'RUN'
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
unset PIP_FIND_LINKS
packages=(ca-certificates postgresql-13 postgresql-13-python3-multicorn python3-venv)
dpkg-query --show "${packages[@]}" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; }
[[ -x /opt/cio/bin/python ]] || python3 -m venv /opt/cio
cd /src
/opt/cio/bin/pip install -qq '/src[redis,simulator,test]'
export CIO_TEST_PG_CONFIG=/usr/lib/postgresql/13/bin/pg_config PYTHONPATH=/usr/lib/python3/dist-packages
# 1.4 puts what is said while planning into the traceback in DETAIL, where 3.2 has the SQLSTATE alone.
exec /opt/cio/bin/python -m pytest -p no:cacheprovider --door multicorn -q -rs --tb=short \
    --deselect tests/multicorn/test_sql.py::test_options_are_checked_when_they_are_used "${@:-tests/multicorn}"
RUN

exec unshare --mount --propagation private bash -c '
    set -euo pipefail
    root=$1
    shift
    mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    exec chroot "$root" bash /src/run.sh "$@"' debian11 "$root" "$@"
