#!/usr/bin/env bash
# Makes sure that what clm is built, run and tested with is on this machine. What is missing is
# installed with apt-get where that is possible (root on Debian, Ubuntu and their kin); elsewhere
# this prints what to install and ends with 1.
#
# usage: scripts/ensure-tools.sh build | run | test
#   build   a C compiler, Rust, CA certificates (cargo downloads)
#   run     and PostgreSQL's server programs
#   test    and openssl and Python with venv, the judges of the tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly POSTGRESQL_MAJOR_MIN=12
purpose=${1:-run}
case $purpose in
    build | run | test) ;;
    *)
        echo "usage: scripts/ensure-tools.sh build | run | test" >&2
        exit 2
        ;;
esac
PATH=$PATH:${HOME:-/root}/.cargo/bin

have() { command -v "$1" >/dev/null 2>&1; }

# --- What is there ------------------------------------------------------------------------------

# Headers too: a compiler without them builds nothing that we need.
have_c_compiler() {
    have "${CC:-cc}" || return 1
    echo '#include <stdlib.h>
int main(void) { return EXIT_SUCCESS; }' | "${CC:-cc}" -x c -o /dev/null - 2>/dev/null
}

have_ca_certificates() {
    local bundle
    for bundle in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
        /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
        [[ -s $bundle ]] && return 0
    done
    return 1
}

rust_version_min() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml; }

have_rust() {
    local version
    have cargo || return 1
    version=$(rustc --version 2>/dev/null | awk '{ print $2 }') || return 1
    # The older of both must be the one that we need at least.
    [[ $(printf '%s\n' "$(rust_version_min)" "$version" | sort -V | head -n 1) == "$(rust_version_min)" ]]
}

# Where the server programs may be: the same places, in the same order, as the program looks.
postgresql_places() {
    if [[ -n ${CLM_PG_BIN:-} ]]; then
        echo "$CLM_PG_BIN"
        return
    fi
    local program
    for program in /usr/lib/postgresql/*/bin/postgres /usr/pgsql-*/bin/postgres; do
        if [[ -x $program ]]; then dirname "$program"; fi
    done | sort -rV
    if have pg_config; then pg_config --bindir; fi
    if have postgres; then dirname "$(command -v postgres)"; fi
}

have_postgresql() {
    local place version
    while IFS= read -r place; do
        [[ -x $place/postgres && -x $place/initdb ]] || continue
        version=$("$place/postgres" --version | sed -n 's/^[^0-9]* \([0-9]\{1,\}\).*/\1/p')
        [[ ${version:-0} -ge $POSTGRESQL_MAJOR_MIN ]] || continue
        have_postgresql_extensions "$place" && return 0
    done < <(postgresql_places)
    return 1
}

# uuid-ossp and pgcrypto are a package of their own on some systems.
have_postgresql_extensions() {
    local shared
    [[ -x $1/pg_config ]] || return 0
    shared=$("$1/pg_config" --sharedir)
    [[ -e $shared/extension/uuid-ossp.control && -e $shared/extension/pgcrypto.control ]]
}

have_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

# --- What is missing ----------------------------------------------------------------------------

missing=()
packages=()

# lacks WHAT PACKAGE...: notes what to tell people, and what apt-get would install.
lacks() {
    missing+=("$1")
    shift
    packages+=("$@")
}

look() {
    missing=()
    packages=()
    have_c_compiler || lacks "a C compiler with its headers (cc)" gcc libc6-dev
    have_ca_certificates || lacks "CA certificates (ca-certificates)" ca-certificates
    have_rust || lacks "Rust $(rust_version_min) or newer, with cargo (https://rustup.rs; \`rustup update\`)"
    if [[ $purpose != build ]]; then
        have_postgresql ||
            lacks "PostgreSQL $POSTGRESQL_MAJOR_MIN or newer: server programs, uuid-ossp and pgcrypto (or set CLM_PG_BIN)" postgresql
        have psql || lacks "PostgreSQL's client (psql)" postgresql-client
    fi
    if [[ $purpose == test ]]; then
        have openssl || lacks "openssl" openssl
        have_venv || lacks "Python 3 with venv" python3-venv
    fi
}

report() {
    echo "clm needs, and did not find on this machine:" >&2
    printf '  - %s\n' "${missing[@]}" >&2
    if [[ ${#packages[@]} -gt 0 ]]; then
        echo "On Debian and Ubuntu:  apt-get install --no-install-recommends ${packages[*]}" >&2
    fi
    exit 1
}

# --- Installing ---------------------------------------------------------------------------------

can_install() {
    [[ $(id -u) == 0 ]] && have apt-get && grep -qsE '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install() { apt install -y --no-install-recommends "$@"; }

# Debian's package makes and starts a cluster for everybody, which we do not want: the platform
# makes its own, and a port that is suddenly taken surprises people. The setting is put back.
install_postgresql() {
    local settings=/etc/postgresql-common/createcluster.conf kept
    install postgresql-common
    kept=$(mktemp)
    cp -p "$settings" "$kept"
    # shellcheck disable=SC2064 # the names must be expanded now
    trap "cp -p '$kept' '$settings'; rm -f '$kept'" EXIT
    sed -i '/^[[:space:]]*create_main_cluster/d' "$settings"
    echo "create_main_cluster = false" >>"$settings"
    install postgresql
    cp -p "$kept" "$settings"
    rm -f "$kept"
    trap - EXIT
}

install_missing() {
    local package others=()
    echo "installing: ${packages[*]}"
    apt update
    for package in "${packages[@]}"; do
        if [[ $package == postgresql ]]; then install_postgresql; else others+=("$package"); fi
    done
    if [[ ${#others[@]} -gt 0 ]]; then install "${others[@]}"; fi
}

look
if [[ ${#packages[@]} -gt 0 ]] && can_install; then
    install_missing
    look
fi
if [[ ${#missing[@]} -gt 0 ]]; then report; fi
