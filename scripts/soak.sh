#!/usr/bin/env bash
# Long tests: faults, simulation, random input, for as long as asked. They are marked as ignored, so
# that `make test` runs only their small forms.
#
#   SOAK_SECONDS   how long each may take (600)
#   SOAK_SEED      where their randomness begins (printed; random when unset)
#   SOAK_FILTER    only those whose name contains this (soak)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

export SOAK_SECONDS=${SOAK_SECONDS:-600}
export SOAK_SEED=${SOAK_SEED:-$((RANDOM << 15 | RANDOM))}
filter=${SOAK_FILTER:-soak}

if ! [[ $SOAK_SECONDS =~ ^[1-9][0-9]*$ && $SOAK_SEED =~ ^[0-9]+$ ]]; then
    echo "SOAK_SECONDS and SOAK_SEED must be whole numbers" >&2
    exit 2
fi
test=(cargo test --locked --package clm-tests --test it --)
count=$("${test[@]}" --list --ignored "$filter" | grep -c ': test$' || true)
if [[ $count == 0 ]]; then
    echo "no long test has '$filter' in its name" >&2
    exit 1
fi
echo "$count long tests, up to $SOAK_SECONDS s each, SOAK_SEED=$SOAK_SEED"
"${test[@]}" --ignored --nocapture --test-threads=1 "$filter"
