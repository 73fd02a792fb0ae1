//! Runs the seeds of the fuzz targets, and simple mutations of each, through the same functions
//! that the fuzzer calls.

#![cfg(test)]

#[path = "../../../fuzz/entry.rs"]
mod entry;

use std::path::Path;

/// All seeds of one target with their file names.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut seeds: Vec<(String, Vec<u8>)> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).unwrap())
        })
        .collect();
    seeds.sort();
    assert!(seeds.len() > 5, "the seeds of {target} are missing");
    seeds
}

/// Octets that tend to matter: tags, lengths, signs.
const OCTETS: [u8; 8] = [0x00, 0x01, 0x30, 0x7f, 0x80, 0x81, 0xa0, 0xff];

/// Cuts, overwrites, removes and doubles, at `steps` places of the seed.
fn mutations(seed: &[u8], steps: usize) -> impl Iterator<Item = Vec<u8>> {
    let step = (seed.len() / steps).max(1);
    (0..seed.len()).step_by(step).flat_map(move |at| {
        let cut = seed[..at].to_vec();
        let removed = [&seed[..at], &seed[at + 1..]].concat();
        let doubled = [&seed[..=at], &seed[at..]].concat();
        let overwritten = OCTETS.into_iter().map(move |octet| {
            let mut changed = seed.to_vec();
            changed[at] = octet;
            changed
        });
        [cut, removed, doubled].into_iter().chain(overwritten)
    })
}

/// Runs a target on all its seeds; those whose name begins with one of `refused` must be refused,
/// the others accepted.
fn run(target: &str, entry: fn(&[u8]) -> bool, refused: &[&str], steps: usize) {
    for (name, seed) in seeds(target) {
        let expected = !refused.iter().any(|prefix| name.starts_with(prefix));
        assert_eq!(entry(&seed), expected, "{target}/{name}");
        for mutation in mutations(&seed, steps) {
            entry(&mutation);
        }
    }
}

#[test]
fn requests() {
    run("csr", entry::csr, &["rsa1024", "sha1"], 300);
}

#[test]
fn certificates() {
    run("certificate", entry::certificate, &[], 300);
}

#[test]
fn keys() {
    run("key", entry::key, &["rsa1024", "explicit"], 60);
}
