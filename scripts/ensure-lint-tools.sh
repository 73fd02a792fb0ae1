#!/usr/bin/env bash
# Makes the Python environment with the judges that the tests ask (pkilint about certificates,
# schemathesis about the REST interface), below target/, and prints the directory of their programs. Does nothing when it is there already.
#
# Where it cannot be made, this says why, leaves the reason in target/venv-unavailable.txt for the
# tests to show, and ends with 1. The tests that need a judge then fail; none is skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly requirements=scripts/lint-tools-requirements.txt
readonly environment=target/venv
readonly reason=target/venv-unavailable.txt
# Kept when all went well: tells which requirements the environment fulfils.
readonly stamp=$environment/requirements.txt

give_up() {
    mkdir -p target
    {
        echo "The judges of the tests (pkilint, schemathesis) are not available: $1."
        echo "They need Python 3 with venv, and a package index that pip can reach; then run scripts/ensure-lint-tools.sh."
    } | tee "$reason" >&2
    exit 1
}

# Whether both judges start.
starts() {
    "$environment/bin/lint_pkix_cert" --help >/dev/null 2>&1 &&
        "$environment/bin/schemathesis" --version >/dev/null 2>&1
}

if ! cmp -s "$requirements" "$stamp" || ! starts; then
    rm -rf "$environment"
    mkdir -p target
    python3 -m venv "$environment" >&2 || give_up "python3 -m venv failed"
    "$environment/bin/pip" --disable-pip-version-check --no-input --quiet --retries 2 --timeout 20 \
        install --no-deps --requirement "$requirements" >&2 </dev/null ||
        give_up "pip could not install $requirements"
    starts || give_up "they do not start"
    cp "$requirements" "$stamp"
fi
rm -f "$reason"
echo "$PWD/$environment/bin"
