#!/usr/bin/env bash
# Prints the interpreter that the PostgreSQL server shall embed.
#
# It must be 3.9 or newer, have Python.h, a shared libpython and venv, and be readable by the operating system user that
# runs the server: an interpreter under a 0700 home is not when root runs the server as another user.
# $PYTHON overrides the choice. As root, missing Debian packages are installed; otherwise one line names them.
set -euo pipefail

say() { printf 'cio_fdw: %s\n' "$*" >&2; }

# The account that runs the server: root must not, so as root it is postgres, or nobody.
server_user() {
    if [[ $EUID -ne 0 ]]; then id -un; elif id -u postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_server_user() {
    if [[ $EUID -ne 0 ]]; then "$@"; return; fi
    # The shell between matters: setpriv itself still opens its program with root's capabilities.
    setpriv --reuid="$(id -u "$(server_user)")" --regid="$(id -g "$(server_user)")" --clear-groups \
        sh -c 'exec "$@"' sh "$@"
}

# Prints what keeps interpreter $1 from use, nothing when it will do.
complaint() {
    "$1" -I - <<'PY' || { echo "it does not run"; return; }
import os, sys, sysconfig
if sys.version_info < (3, 9):
    sys.exit(print("it is older than Python 3.9"))
if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
    sys.exit(print("Python.h is missing (package python3-dev)"))
variable = sysconfig.get_config_var
name = variable("INSTSONAME") or ""
places = [variable("LIBDIR"), os.path.join(variable("LIBDIR") or "", variable("MULTIARCH") or ""), variable("LIBPL")]
if not variable("Py_ENABLE_SHARED") or not any(os.path.exists(os.path.join(place, name)) for place in places if place):
    sys.exit(print("it has no shared libpython"))
try:
    import ensurepip, venv
except ImportError:
    print("the modules venv and ensurepip are missing (package python3-venv)")
PY
    local real
    real=$("$1" -I -c 'import os, sys; print(os.path.realpath(sys.executable))')
    (cd / && as_server_user "$real" -I -c 'import encodings' 2>/dev/null) ||
        echo "the user $(server_user), who runs the server, cannot read it"
}

candidates() {
    if [[ -n ${PYTHON:-} ]]; then command -v "$PYTHON" || echo "$PYTHON"; return; fi
    # A private interpreter (pyenv, conda) may vanish or be unreadable; the system's is the safe one for a server.
    if [[ $EUID -eq 0 ]]; then printf '%s\n' /usr/bin/python3 /usr/local/bin/python3; fi
    command -v python3 || true
    printf '%s\n' /usr/bin/python3
}

choose() {
    local candidate
    reasons=()
    while read -r candidate; do
        local why="not there"
        if [[ -x $candidate ]]; then why=$(complaint "$candidate" | head -n 1); fi
        if [[ -z $why ]]; then chosen=$candidate; return 0; fi
        reasons+=("$candidate: $why")
    done < <(candidates | awk '!seen[$0]++')
    return 1
}

packages=(python3 python3-dev python3-venv gcc libc6-dev make util-linux)
chosen=
has_compiler() { command -v gcc >/dev/null && command -v make >/dev/null && command -v flock >/dev/null; }

if ! has_compiler || ! choose; then
    if [[ $EUID -eq 0 && -z ${PYTHON:-} ]] && command -v apt-get >/dev/null; then
        say "installing ${packages[*]} with apt-get"
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2
    fi
    if ! has_compiler || ! choose; then
        for reason in "${reasons[@]:-no compiler}"; do say "$reason"; done
        say "install them first: sudo apt-get install ${packages[*]}   (or set PYTHON=/path/to/python3)"
        exit 1
    fi
fi
printf '%s\n' "$chosen"
