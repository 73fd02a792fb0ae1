#!/usr/bin/env bash
# Long tests: faults, again and again at random moments, random calls by members of one organization
# beside another, calls of a judge by the OpenAPI document, wrong passwords, and random input for the parsers. `make test` runs the same with few rounds, and the
# parsers on known input only.
#
#   SOAK_ROUNDS    how often the program is killed (20); 250 random calls for each
#   SOAK_SECONDS   how long each parser gets random input (600)
#   SOAK_SEED      where randomness begins (printed; another one each time when unset)
#   SOAK_FILTER    which tests: those whose name contains one of these (crash:: two_organizations::
#                  openapi_conformance:: guesses_)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:${HOME:-/root}/.cargo/bin

export SOAK_ROUNDS=${SOAK_ROUNDS:-20}
export SOAK_SEED=${SOAK_SEED:-$((RANDOM << 15 | RANDOM))}
seconds=${SOAK_SECONDS:-600}
read -ra filters <<<"${SOAK_FILTER:-crash:: two_organizations:: openapi_conformance:: guesses_}"

if ! [[ $SOAK_ROUNDS =~ ^[1-9][0-9]*$ && $seconds =~ ^[1-9][0-9]*$ && $SOAK_SEED =~ ^[0-9]+$ ]]; then
    echo "SOAK_ROUNDS, SOAK_SECONDS and SOAK_SEED must be whole numbers" >&2
    exit 2
fi

long_tests() {
    local test=(cargo test --locked --package clm-tests --test it --) count
    cargo build --locked --package clm-cli
    count=$("${test[@]}" --list "${filters[@]}" | grep -c ': test$' || true)
    if [[ $count == 0 ]]; then
        echo "no test has one of '${filters[*]}' in its name" >&2
        exit 1
    fi
    echo "== $count long tests, $SOAK_ROUNDS rounds, SOAK_SEED=$SOAK_SEED"
    "${test[@]}" --nocapture --test-threads=1 "${filters[@]}"
}

# cargo-fuzz needs the nightly compiler.
can_fuzz() { cargo +nightly fuzz --version >/dev/null 2>&1; }

random_input() {
    local target targets
    if ! can_fuzz; then
        echo "== no random input: cargo-fuzz with a nightly compiler is not installed"
        return
    fi
    targets=$(cd fuzz && cargo +nightly fuzz list)
    for target in $targets; do
        echo "== random input for $target, $seconds s, SOAK_SEED=$SOAK_SEED"
        mkdir -p "fuzz/corpus/$target"
        (cd fuzz && cargo +nightly fuzz run "$target" "corpus/$target" "seeds/$target" -- \
            -max_total_time="$seconds" -timeout=1 -rss_limit_mb=512 -seed="$((SOAK_SEED % 4294967296))" -print_final_stats=1)
    done
}

long_tests
random_input
