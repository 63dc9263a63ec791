//! A wire between clients and a server that can be made to swallow everything: connections stand, new ones are taken, nothing passes, and
//! nobody is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the wire is.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    swallows: bool,
    /// How often everything that stood was cut.
    cuts: u64,
}

/// What the wire has kept from passing.
#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    bytes: AtomicU64,
}

/// The wire. It ends with the runtime that it was laid in.
pub(crate) struct Wire {
    port: u16,
    state: watch::Sender<State>,
    swallowed: Arc<Counts>,
}

impl Wire {
    /// A wire to a server on this machine's loopback, which need not listen yet; clients connect to [`Wire::port`].
    pub(crate) async fn to(server: u16) -> Self {
        let port = servers::free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let (state, mut seen) = watch::channel(State::default());
        let swallowed = Arc::new(Counts::default());
        let counts = Arc::clone(&swallowed);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let now = *seen.borrow_and_update();
                counts.connections.fetch_add(u64::from(now.swallows), Ordering::Relaxed);
                tokio::spawn(carry(client, server, seen.clone(), now.cuts, Arc::clone(&counts)));
            }
        });
        Self { port, state, swallowed }
    }

    /// Where clients connect.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing passes.
    pub(crate) fn swallow(&self) {
        self.state.send_modify(|state| state.swallows = true);
    }

    /// What stood goes on, with the bytes that were on their way, as after a network that was away.
    pub(crate) fn go_on(&self) {
        self.state.send_modify(|state| state.swallows = false);
    }

    /// What stood is cut; new connections pass.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| *state = State { swallows: false, cuts: state.cuts + 1 });
    }

    /// How many new connections and how many bytes were swallowed so far.
    pub(crate) fn swallowed(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.swallowed.connections), of(&self.swallowed.bytes))
    }
}

async fn carry(client: TcpStream, server: u16, mut state: watch::Receiver<State>, born: u64, counts: Arc<Counts>) {
    // A connection that is made meanwhile stands, and its server never hears of it.
    if !passes(&mut state, born).await {
        return;
    }
    let address = SocketAddr::from(([127, 0, 0, 1], server));
    let Ok(server) = TcpStream::connect(address).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, state.clone(), born, &counts) => {}
        () = pump(from_server, to_client, state.clone(), born, &counts) => {}
    }
}

/// Waits until something passes; false if the wire has cut what was born before.
async fn passes(state: &mut watch::Receiver<State>, born: u64) -> bool {
    let now = state.wait_for(|state| !state.swallows || state.cuts > born).await.map(|state| *state);
    now.is_ok_and(|state| state.cuts == born)
}

/// Carries bytes one way until an end is reached or the wire is cut.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<State>,
    born: u64,
    counts: &Counts,
) {
    let mut cut = state.clone();
    let mut buffer = vec![0; 65_536];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            _ = cut.wait_for(|state| state.cuts > born) => return,
        };
        let Ok(read @ 1..) = read else {
            // An end that is said while nothing passes is not heard either.
            passes(&mut state, born).await;
            return;
        };
        if state.borrow().swallows {
            counts.bytes.fetch_add(read as u64, Ordering::Relaxed);
        }
        if !passes(&mut state, born).await || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
