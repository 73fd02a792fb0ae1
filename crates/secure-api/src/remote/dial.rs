//! Making the connection: TCP, then TLS.

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::SERVER_NAME;

/// How long one address may take, and how many of a name are tried.
const ADDRESS_TIMEOUT: Duration = Duration::from_millis(1_500);
const ADDRESSES_MAX: usize = 3;

/// A connection, whatever it is made of.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Makes connections to one Secure Service.
#[async_trait]
pub trait Dial: Send + Sync {
    /// A new connection, ready for HTTP/2.
    ///
    /// # Errors
    /// Why there is none.
    async fn dial(&self) -> io::Result<Box<dyn Connection>>;
}

/// TLS to an address, with the certificate in force.
pub struct TlsDial {
    address: String,
    config: RwLock<Arc<ClientConfig>>,
}

impl TlsDial {
    /// Connects to `address` (`host:port`).
    pub fn new(address: String, config: ClientConfig) -> Self {
        Self {
            address,
            config: RwLock::new(Arc::new(config)),
        }
    }

    /// Uses another certificate from the next connection on.
    pub fn replace(&self, config: ClientConfig) {
        let mut current = self.config.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(config);
    }
}

#[async_trait]
impl Dial for TlsDial {
    async fn dial(&self) -> io::Result<Box<dyn Connection>> {
        let config = {
            let current = self.config.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&current)
        };
        let stream = connect(&self.address).await?;
        let _ = stream.set_nodelay(true);
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        Ok(Box::new(stream))
    }
}

/// Tries each address of a name, none of them for so long that the others have no turn.
async fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in tokio::net::lookup_host(address).await?.take(ADDRESSES_MAX) {
        let connected = tokio::time::timeout(ADDRESS_TIMEOUT, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}
