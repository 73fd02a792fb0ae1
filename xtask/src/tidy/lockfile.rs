//! Packages that no build may contain: one crypto provider, one TLS stack. `deny.toml` says the
//! same to cargo-deny, which not everybody has.

#[cfg(test)]
mod tests;

use anyhow::Result;

use super::Finding;

const LOCK_FILE: &str = "Cargo.lock";

/// Package, and what to use instead.
const BANNED: [(&str, &str); 3] = [
    ("openssl-sys", "rustls with aws-lc-rs"),
    ("native-tls", "rustls with aws-lc-rs"),
    ("ring", "aws-lc-rs"),
];

/// Checks the lock file. `is_built` tells whether any build really contains a package: the lock
/// file also lists what an optional feature that nobody turns on would bring.
///
/// # Errors
/// When `is_built` fails.
pub(super) fn check(
    lock_file: &str,
    is_built: impl Fn(&str) -> Result<bool>,
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (banned, instead) in BANNED {
        let entry = format!("name = \"{banned}\"");
        let Some(line) = lock_file.lines().position(|line| line == entry) else {
            continue;
        };
        if is_built(banned)? {
            let advice = format!(
                "use {instead}; `cargo tree --workspace -i {banned}` shows who brings `{banned}`"
            );
            findings.push(Finding::error(
                LOCK_FILE,
                line + 1,
                "banned-package",
                advice,
            ));
        }
    }
    Ok(findings)
}
