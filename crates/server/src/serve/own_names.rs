//! The names and addresses under which a server is reached.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use clm_domain::general_name::GeneralName;

use crate::Configuration;
use crate::tls::TransportIdentity;

/// An address that a client on this machine can use.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port()))
        }
        _ => address,
    }
}

/// The names of this server: loopback, the address that it listens on, and the public name.
pub(super) fn own_names(configuration: &Configuration) -> Vec<String> {
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    for address in [Some(configuration.http_listen), configuration.https_listen]
        .into_iter()
        .flatten()
    {
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
    }
    names.extend(configuration.public_url.as_deref().and_then(host_of));
    names.sort();
    names.dedup();
    names
}

/// The host in a URL; an IPv6 address without its brackets.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    Some(match url.host()? {
        url::Host::Domain(name) => name.trim_end_matches('.').to_owned(),
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    })
}

/// The name as it stands in a certificate, if it can.
fn certifiable(name: String) -> Option<GeneralName> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(GeneralName::Ip(address));
    }
    if is_host_name(&name) {
        return Some(GeneralName::Dns(name));
    }
    tracing::warn!(
        "the HTTPS certificate leaves '{name}' out, which is no DNS name: set CLM_PUBLIC_URL to a \
         URL whose host is one"
    );
    None
}

/// Whether the text is a host name in the preferred syntax of RFC 1034 §3.5.
fn is_host_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// The HTTPS identity, without a certificate yet.
pub(super) fn transport_identity(configuration: &Configuration) -> Arc<TransportIdentity> {
    let names = own_names(configuration)
        .into_iter()
        .filter_map(certifiable)
        .collect();
    TransportIdentity::new(names)
}

#[cfg(test)]
mod tests;
