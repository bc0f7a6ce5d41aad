//! TLS between roles: both sides show a certificate, and who they are stands in it as a URI.
//! *Invariant:* a connection is made with the files as they are on disk then: a renewed
//! certificate needs no restart, and a broken file changes nothing.

mod files;
mod verify;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tonic::transport::server::Connected;

use crate::role::Role;

pub use files::{Tls, TlsError, TlsFiles};

/// How long a stranger may take to shake hands.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// After an accept that failed, mostly for want of file descriptors.
const BREATH: Duration = Duration::from_millis(100);
/// Handshakes at once.
const SHAKING: usize = 256;

/// Who is at the other end of a connection over TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The role in its certificate; none where it showed no certificate.
    pub role: Option<Role>,
}

/// An accepted connection.
pub struct Accepted {
    stream: server::TlsStream<TcpStream>,
    peer: Peer,
}

impl Tls {
    /// Connects to `role`, which must show that it is `role`.
    ///
    /// # Errors
    /// When it does not, or the handshake takes too long.
    pub async fn connect(
        &self,
        role: Role,
        stream: TcpStream,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let config = self.client(role).map_err(io::Error::other)?;
        // The identity is checked, and it is no host name: any name will do here.
        let name = ServerName::try_from(role.name()).map_err(io::Error::other)?;
        let shaken = TlsConnector::from(config).connect(name, stream);
        tokio::time::timeout(HANDSHAKE, shaken).await.unwrap_or_else(|_| Err(too_slow()))
    }

    /// The connections of `listener` whose handshake went well. Where `strangers` may come, a
    /// peer may show no certificate; a wrong one is refused everywhere.
    pub fn accept(
        self: Arc<Self>,
        listener: TcpListener,
        strangers: bool,
    ) -> impl Stream<Item = io::Result<Accepted>> {
        let connections = futures::stream::unfold(listener, async |listener| {
            let accepted = listener.accept().await;
            if let Err(error) = &accepted {
                tracing::error!("no connection can be accepted: {error}");
                tokio::time::sleep(BREATH).await;
            }
            Some((accepted, listener))
        });
        let shaken = connections.map(move |accepted| {
            let tls = Arc::clone(&self);
            async move {
                let (stream, from) = accepted?;
                let shaken = tokio::time::timeout(HANDSHAKE, tls.shake(stream, strangers)).await;
                shaken.unwrap_or_else(|_| Err(too_slow())).inspect_err(|error| match error.kind() {
                    // A probe that only looks whether somebody listens.
                    io::ErrorKind::UnexpectedEof => {}
                    _ => tracing::warn!("denied: a TLS handshake of {}: {error}", from.ip()),
                })
            }
        });
        shaken.buffer_unordered(SHAKING).filter(|shaken| std::future::ready(shaken.is_ok()))
    }

    async fn shake(&self, stream: TcpStream, strangers: bool) -> io::Result<Accepted> {
        stream.set_nodelay(true)?;
        let stream = TlsAcceptor::from(self.server(strangers)).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let role = match shown {
            None => None,
            Some(shown) => Some(
                verify::role_of(shown)
                    .ok_or_else(|| io::Error::other("its certificate names no role of Nexus"))?,
            ),
        };
        Ok(Accepted { stream, peer: Peer { role } })
    }
}

fn too_slow() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it took too long")
}

impl Connected for Accepted {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
