//! Fuzzes the reading of a certificate request.

#![no_main]

#[path = "../entry.rs"]
#[expect(dead_code, reason = "each target uses one of the functions")]
mod entry;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    entry::csr(input);
});
