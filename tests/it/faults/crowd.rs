//! A crowd at the door: connections that say nothing, or half of what they have to say, or do not read. Each that is closed comes again,
//! so that they are as many all the time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Before one that was turned away comes again.
const AGAIN: Duration = Duration::from_millis(100);
/// Between two bytes of one that drips.
const DRIP: Duration = Duration::from_secs(3);
/// When a connection that is not taken is given up.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// What a connection does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Nothing.
    Silent,
    /// Begins as HTTP/2 does, and says no more.
    HalfPreface,
    /// Says half a head.
    HalfHead,
    /// Says a head and half a body.
    HalfBody,
    /// Says a body byte by byte, seconds apart.
    Dripping,
    /// Asks for much, again and again, and reads nothing.
    Deaf,
}

/// What became of the crowd.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Came {
    /// Connections that were taken.
    pub(crate) taken: u64,
    /// Those that the server closed.
    pub(crate) turned_away: u64,
    /// Those that were not taken.
    pub(crate) refused: u64,
}

impl fmt::Display for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, turned_away, refused } = self;
        write!(
            f,
            "{taken} connections were taken, {turned_away} of them closed by the server; {refused} were not taken"
        )
    }
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    turned_away: AtomicU64,
    refused: AtomicU64,
}

/// The crowd. It is gone when it is dropped.
pub(crate) struct Crowd {
    counts: Arc<Counts>,
    stop: CancellationToken,
    people: JoinSet<()>,
}

impl Crowd {
    /// So many connections of each kind to an address.
    pub(crate) fn gather(address: &str, kinds: &[(Kind, usize)]) -> Self {
        let (counts, stop) = (Arc::new(Counts::default()), CancellationToken::new());
        let mut people = JoinSet::new();
        for (kind, count) in kinds {
            for _ in 0..*count {
                let (address, counts, stop) = (address.to_owned(), Arc::clone(&counts), stop.clone());
                let kind = *kind;
                people.spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = come_again(&address, kind, &counts) => {}
                    }
                });
            }
        }
        Self { counts, stop, people }
    }

    /// Goes, all at once.
    pub(crate) async fn leave(mut self) -> Came {
        self.stop.cancel();
        while self.people.join_next().await.is_some() {}
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Came { taken: of(&counts.taken), turned_away: of(&counts.turned_away), refused: of(&counts.refused) }
    }
}

/// Comes, stays until it is turned away, and comes again.
async fn come_again(address: &str, kind: Kind, counts: &Counts) {
    loop {
        match tokio::time::timeout(TAKEN_WITHIN, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                counts.taken.fetch_add(1, Ordering::Relaxed);
                stay(stream, address, kind).await;
                counts.turned_away.fetch_add(1, Ordering::Relaxed);
            }
            _ => drop(counts.refused.fetch_add(1, Ordering::Relaxed)),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Stays until the server closes.
async fn stay(mut stream: TcpStream, address: &str, kind: Kind) {
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: 900\r\n\r\n"
    );
    let said = match kind {
        Kind::Silent => "",
        Kind::HalfPreface => "PRI * HTTP/2.0\r\n\r\nS",
        Kind::HalfHead => &head[..40],
        Kind::HalfBody | Kind::Dripping => &format!("{head}{{\"currency\":"),
        Kind::Deaf => &format!("GET /openapi.json HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(200),
    };
    if stream.write_all(said.as_bytes()).await.is_err() {
        return;
    }
    let mut answer = [0; 4_096];
    match kind {
        // What it is sent stays where it is; that the server closed shows when it writes.
        Kind::Deaf => {
            while stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.is_ok() {
                tokio::time::sleep(DRIP).await;
            }
        }
        Kind::Dripping => loop {
            tokio::select! {
                read = stream.read(&mut answer) => if !matches!(read, Ok(1..)) {
                    return;
                },
                () = tokio::time::sleep(DRIP) => if stream.write_all(b" ").await.is_err() {
                    return;
                },
            }
        },
        _ => while matches!(stream.read(&mut answer).await, Ok(1..)) {},
    }
}
