//! A wire between client and server that can hold back what the client sends.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    pub(crate) address: String,
    held: watch::Sender<bool>,
    _connections: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (held, hold) = watch::channel(false);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (_open, never) = watch::channel(false);
                wires.spawn(carry(from_client, to_server, hold.clone()));
                wires.spawn(carry(from_server, to_client, never));
            }
        });
        Self { address, held, _connections: connections }
    }

    /// From now on what the client sends stays on the wire.
    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    /// What was held back arrives.
    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut hold: watch::Receiver<bool>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer).await {
        // Without a holder nothing is held.
        hold.wait_for(|held| !held).await.ok();
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
