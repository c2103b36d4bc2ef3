#!/usr/bin/env bash
# Makes or refreshes the runtime directory and prints its path; everything else goes to stderr.
#
# The runtime holds a virtual environment with the locked requirements, the embedded PostgreSQL and a copy of this
# package, and the build trees of the extension. It lies outside the checkout because the user that runs the server may
# not be able to read the checkout. Nothing is fetched when the stamps match. $CIO_RUNTIME overrides the place.
set -euo pipefail

tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
checkout=$(dirname "$tools")
say() { printf 'cio_fdw: %s\n' "$*" >&2; }

usable() { [[ $1 != *[[:space:]]* ]] && mkdir -p "$1" 2>/dev/null && [[ -w $1 && -O $1 ]]; }

place() {
    local hash base
    hash=$(printf %s "$checkout" | sha256sum | cut -c1-12)
    if [[ -n ${CIO_RUNTIME:-} ]]; then
        usable "$CIO_RUNTIME" || { say "CIO_RUNTIME=$CIO_RUNTIME must be writable, yours, and without spaces"; return 1; }
        (cd "$CIO_RUNTIME" && pwd -P)
        return
    fi
    if [[ $EUID -eq 0 ]]; then base=/var/cache; else base=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}; fi
    for candidate in "$base/cio_fdw/$hash" "/var/tmp/cio_fdw-$EUID-$hash"; do
        if usable "$candidate"; then printf '%s\n' "$candidate"; return; fi
    done
    say "no place for the runtime: set CIO_RUNTIME to a directory that you can write to"
    return 1
}

digest() { sha256sum | cut -c1-64; }

# What the installed copy of the package is made from.
sources() {
    (cd "$checkout" && find setup.py pyproject.toml README.md LICENSE cio_fdw host sql -type f \
        ! -name '*.py[co]' ! -name '*.o' ! -name '*.so' ! -name '*.bc' -print0 | LC_ALL=C sort -z)
}

stamp_matches() { [[ -f $runtime/$1.stamp && $(<"$runtime/$1.stamp") == "$2" ]]; }

make_venv() {
    say "making a virtual environment with $python"
    rm -rf "$runtime/venv" "$runtime"/*.stamp
    "$python" -m venv "$runtime/venv"
}

copy_sources() {
    rm -rf "$runtime/source"
    mkdir -p "$runtime/source"
    (cd "$checkout" && sources | tar --create --mode=u+rw,go+r --null --files-from=- --file=-) | tar --extract --directory="$runtime/source"
}

install_requirements() {
    local lock=()
    # The lock is made for 3.11; older interpreters take the newest releases that still support them.
    if "$pip_python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        lock=(--constraint "$checkout/requirements.lock")
    fi
    say "installing the requirements (only this step needs the network)"
    "$pip_python" -m pip install -qq "${lock[@]}" 'setuptools>=77.0.3' >&2
    "$pip_python" -m pip install -qq --no-build-isolation "${lock[@]}" \
        "$runtime/source[redis,simulator,embedded,test,lint]" >&2
}

install_package() {
    "$pip_python" -m pip install -qq --no-deps --no-index --no-build-isolation --force-reinstall "$runtime/source" >&2
}

export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV
[[ $EUID -ne 0 ]] || umask 022 # the server's user reads the runtime
runtime=$(place)
if [[ ${1:-} == --remove ]]; then
    rm -rf "$runtime"
    say "removed $runtime"
    exit
fi
pip_python=$runtime/venv/bin/python

exec 9>"$runtime/lock"
flock 9

# Of pyproject.toml only what names requirements: a changed lint rule is no reason to fetch anything.
wanted=$(cd "$checkout" && { echo "${PYTHON:-}"; sed -n '/^\[project\]/,/^\[project.scripts\]/p' pyproject.toml; cat requirements.lock; } | digest)
if ! stamp_matches requirements "$wanted" || ! "$pip_python" -c '' 2>/dev/null; then
    python=$("$tools/python-for-server.sh" 9>&-)
    make_venv
    copy_sources
    install_requirements
    printf '%s\n' "$wanted" >"$runtime/requirements.stamp"
fi
command -v gcc >/dev/null || "$tools/python-for-server.sh" >/dev/null

wanted=$(cd "$checkout" && { sources; sources | xargs -0 sha256sum; } | digest)
if ! stamp_matches package "$wanted"; then
    copy_sources
    install_package
    printf '%s\n' "$wanted" >"$runtime/package.stamp"
fi
printf '%s\n' "$runtime"
