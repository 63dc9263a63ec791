//! A TCP proxy before a server that waits for a commit to pass and then does its worst.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// `COMMIT` as a message of the simple protocol.
const COMMIT: &[u8] = b"Q\x00\x00\x00\x0bCOMMIT\x00";

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server never sees it; both sides are cut.
    CutBefore,
    /// The server commits; both sides are cut before the answer passes.
    CutAfter,
    /// The client is cut at once, the server gets it a while later.
    Late,
    /// The server commits, the answer never passes, and neither side learns that the connection is dead.
    Mute,
}

impl Fault {
    pub(crate) const ALL: [Fault; 4] = [Fault::CutBefore, Fault::CutAfter, Fault::Late, Fault::Mute];
}

#[derive(Default)]
struct State {
    armed: Mutex<Option<Fault>>,
    struck: AtomicUsize,
}

pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// A proxy before the server's port.
    pub(crate) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                    client.set_nodelay(true).unwrap();
                    server.set_nodelay(true).unwrap();
                    tokio::spawn(pass(client, server, Arc::clone(&shared)));
                }
            }
        });
        Self { port, state }
    }

    /// The address of a database, through the proxy.
    pub(crate) fn through(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}/"), &format!(":{}/", self.port))
    }

    /// The next commit that passes meets the fault.
    pub(crate) fn arm(&self, fault: Fault) {
        *self.state.armed.lock().unwrap() = Some(fault);
    }

    /// How many commits have met a fault.
    pub(crate) fn struck(&self) -> usize {
        self.state.struck.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (muted, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (mute, answer) = (Arc::clone(&muted), Arc::clone(&answered));
    let cut = Arc::new(Notify::new());
    let cutting = Arc::clone(&cut);
    let down = tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            tokio::select! {
                // Closes the client's side; what the server says is only noted from then on.
                () = cutting.notified() => { to_client.shutdown().await.ok(); }
                read = from_server.read(&mut buffer) => match read {
                    Ok(read @ 1..) if mute.load(Ordering::SeqCst) => { let _ = read; answer.notify_one(); }
                    Ok(read @ 1..) if to_client.write_all(&buffer[..read]).await.is_ok() => {}
                    _ => break,
                }
            }
        }
    });
    let mut buffer = vec![0; 65_536];
    let mut tail = Vec::new();
    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
        // The message may come in two parts.
        tail.extend_from_slice(&buffer[..read]);
        let commits = tail.windows(COMMIT.len()).any(|part| part == COMMIT);
        tail.drain(..tail.len().saturating_sub(COMMIT.len() - 1));
        let fault = if commits { state.armed.lock().unwrap().take() } else { None };
        if let Some(fault) = fault {
            state.struck.fetch_add(1, Ordering::SeqCst);
            match fault {
                Fault::CutBefore => break,
                Fault::CutAfter => {
                    muted.store(true, Ordering::SeqCst);
                    to_server.write_all(&buffer[..read]).await.ok();
                    answered.notified().await;
                    break;
                }
                Fault::Late => {
                    muted.store(true, Ordering::SeqCst);
                    cut.notify_one();
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    to_server.write_all(&buffer[..read]).await.ok();
                    answered.notified().await;
                    down.abort();
                    return;
                }
                Fault::Mute => muted.store(true, Ordering::SeqCst),
            }
        }
        if to_server.write_all(&buffer[..read]).await.is_err() {
            break;
        }
    }
    down.abort();
}
