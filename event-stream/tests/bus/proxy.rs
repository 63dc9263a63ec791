//! A wire between a client and the server that keeps what the server said.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Proxy {
    port: u16,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Proxy {
    /// A proxy before a server at `nats://host:port`.
    pub(crate) async fn before(url: &str) -> Self {
        let server = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                tokio::spawn(carry(client, server, Arc::clone(&keep)));
            }
        });
        Self { port, said }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// How often the server said something.
    pub(crate) fn heard(&self, text: &str) -> usize {
        let said = self.said.lock().unwrap();
        let text = text.as_bytes();
        said.windows(text.len()).filter(|at| *at == text).count()
    }
}

async fn carry(client: TcpStream, server: TcpStream, said: Arc<Mutex<Vec<u8>>>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = tokio::spawn(async move {
        tokio::io::copy(&mut from_client, &mut to_server).await.ok();
        to_server.shutdown().await.ok();
    });
    let mut bytes = vec![0; 65_536];
    while let Ok(count) = from_server.read(&mut bytes).await {
        if count == 0 {
            break;
        }
        said.lock().unwrap().extend_from_slice(&bytes[..count]);
        if to_client.write_all(&bytes[..count]).await.is_err() {
            break;
        }
    }
    up.abort();
}
