//! The accept loop over real sockets: clients that send nothing, or half of something, or take nothing, and those beside them.
#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod frames;
mod streams;

use std::net::SocketAddr;
use std::time::Instant;

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::*;
use crate::service::layers;

const HEAD: Duration = Duration::from_millis(300);
const IDLE: Duration = Duration::from_millis(900);
const WRITE: Duration = Duration::from_millis(400);
/// Long after all of them, because a busy machine is slow.
const LATE: Duration = Duration::from_secs(20);
/// More than the two systems between the ends buffer.
const BIG: usize = 48 * 1024 * 1024;

struct Listening {
    address: SocketAddr,
    release: Arc<Notify>,
    stop: CancellationToken,
    served: JoinHandle<bool>,
}

fn limits(connections: usize) -> Limits {
    let patience = Patience { head: HEAD, idle: IDLE, write: Slowest::new(WRITE, 1_000) };
    Limits { connections, spare: 2, patience, drain: LATE }
}

fn routes(release: &Arc<Notify>) -> Routes {
    let hang = Arc::clone(release);
    let probes = Router::new().route("/livez", get(|| async { "live" }));
    let all = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/echo", post(|body: String| async { body }))
        .route("/big", get(|| async { vec![b'x'; BIG] }))
        .route("/hang", get(move || async move { hang.notified().await }))
        .merge(probes.clone());
    Routes { all, spare: probes.fallback(layers::crowded) }
}

async fn listen(connections: usize) -> Listening {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (release, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let served = tokio::spawn(serve(listener, routes(&release), limits(connections), stop.clone()));
    Listening { address, release, stop, served }
}

impl Listening {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Connects and sends.
    async fn send(&self, text: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// Requests a path on a separate connection.
    async fn ask(&self, path: &str) -> String {
        let mut stream = self.send(&head(path)).await;
        answer(&mut stream).await
    }
}

fn head(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")
}

/// One answer, with its body; everything received, if the connection ended before.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let reading = async {
        loop {
            let read = String::from_utf8_lossy(&text).into_owned();
            if let Some((head, body)) = read.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return read;
                }
            }
            match stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(_) => return read,
            }
        }
    };
    timeout(LATE, reading).await.unwrap()
}

/// How long it took until the server ended the connection.
async fn ended(stream: &mut TcpStream) -> Duration {
    let begun = Instant::now();
    let mut buffer = vec![0; 65_536];
    let reading = async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    timeout(LATE, reading).await.expect("the connection was not ended");
    begun.elapsed()
}

#[tokio::test]
async fn who_sends_nothing_half_a_preface_or_half_a_head_is_ended() {
    let server = listen(64).await;
    for sent in ["", "P", "PRI * HTTP/2.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = server.send(sent).await;
        let took = ended(&mut stream).await;
        assert!(took >= HEAD / 2, "{sent:?}: it had no time at all: {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_drips_is_ended() {
    let server = listen(64).await;
    let (mut reader, mut writer) = server.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        for byte in head("/").repeat(1_000).bytes() {
            if writer.write_all(&[byte]).await.is_err() {
                return true;
            }
            sleep(HEAD / 6).await;
        }
        false
    });
    let mut rest = Vec::new();
    timeout(LATE, reader.read_to_end(&mut rest)).await.expect("it was not ended").ok();
    assert_eq!(rest, b"");
    drop(reader);
    assert!(timeout(LATE, dripping).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_connection_is_kept_and_requests_may_be_sent_ahead() {
    let server = listen(64).await;
    let mut stream = server.send(&head("/").repeat(3)).await;
    for _ in 0..3 {
        assert!(answer(&mut stream).await.ends_with("here"));
    }
    sleep(HEAD + HEAD / 4).await;
    stream.write_all(head("/").as_bytes()).await.unwrap();
    assert!(
        answer(&mut stream).await.ends_with("here"),
        "a kept connection may be silent for longer than a head takes"
    );
    assert!(ended(&mut stream).await >= IDLE / 2);
    let mut stream = server.send(&head("/")).await;
    assert!(answer(&mut stream).await.ends_with("here"));
    stream.write_all(b"GET / HT").await.unwrap();
    assert!(ended(&mut stream).await < IDLE + LATE / 2);
}

#[tokio::test]
async fn who_does_not_take_its_answer_is_ended() {
    let server = listen(64).await;
    let mut stream = server.send(&head("/big")).await;
    sleep(4 * WRITE).await;
    let mut taken = Vec::new();
    let reading = stream.read_to_end(&mut taken);
    drop(timeout(LATE, reading).await.expect("it was not ended"));
    assert!(taken.len() < BIG, "all of it came");
}

#[tokio::test]
async fn who_takes_its_answer_slowly_gets_all_of_it() {
    let server = listen(64).await;
    let mut stream = server.send(&head("/big")).await;
    let (mut taken, mut buffer, begun) = (0, vec![0; 1024 * 1024], Instant::now());
    while taken < BIG {
        let read = timeout(LATE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0, "it was cut off after {taken} bytes");
        taken += read;
        if begun.elapsed() < 4 * WRITE {
            sleep(WRITE / 8).await;
        }
    }
    assert!(begun.elapsed() > 2 * WRITE, "it was not slow");
}

#[tokio::test]
async fn a_request_may_take_longer_than_a_client_may() {
    let server = listen(64).await;
    let mut stream = server.send(&head("/hang")).await;
    sleep(IDLE + HEAD).await;
    server.release.notify_one();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let server = listen(4).await;
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(server.connect().await);
        silent.push(server.send("GET / HT").await);
    }
    let begun = Instant::now();
    for path in ["/", "/livez", "/"] {
        assert!(server.ask(path).await.starts_with("HTTP/1.1 200"), "{path}");
    }
    assert!(begun.elapsed() < LATE / 2);
}

#[tokio::test]
async fn where_all_connections_are_in_use_it_is_still_told_how_the_process_is() {
    let server = listen(4).await;
    let mut busy = Vec::new();
    for _ in 0..4 {
        busy.push(server.send(&head("/hang")).await);
    }
    // Until all of them are being worked on, one may be displaced.
    sleep(HEAD / 2).await;
    let _silent = [server.connect().await, server.connect().await, server.connect().await];
    for _ in 0..5 {
        assert!(server.ask("/livez").await.starts_with("HTTP/1.1 200"));
        let mut stream = server.send(&head("/")).await;
        let told = answer(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("overloaded"), "{told}");
        assert!(told.contains("retry-after: 1") && told.contains("connection: close"), "{told}");
        ended(&mut stream).await;
    }
    server.release.notify_waiters();
    for mut stream in busy {
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    assert!(server.ask("/").await.ends_with("here"));
}

#[tokio::test]
async fn a_request_that_came_with_its_connection_is_answered_however_many_come_behind_it() {
    let server = listen(4).await;
    // All of them are there before the server looks once.
    let come = |number: usize| {
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        let asks = number.is_multiple_of(4);
        if asks {
            std::io::Write::write_all(&mut stream, head("/livez").as_bytes()).unwrap();
        }
        stream.set_nonblocking(true).unwrap();
        (asks, TcpStream::from_std(stream).unwrap())
    };
    let crowd: Vec<_> = (0..100).map(come).collect();
    for (asks, mut stream) in crowd {
        if asks {
            assert!(answer(&mut stream).await.ends_with("live"));
        }
    }
}

#[tokio::test]
async fn half_sent_bodies_keep_nobody_out() {
    let server = listen(4).await;
    let half = "POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf";
    let mut halves = Vec::new();
    for _ in 0..4 {
        halves.push(server.send(half).await);
    }
    sleep(Duration::from_millis(1_300)).await;
    assert!(server.ask("/").await.ends_with("here"), "one that stalled for a second goes");
}

#[tokio::test]
async fn a_stop_waits_for_answers_and_not_for_the_silent() {
    let server = listen(64).await;
    let mut kept = server.send(&head("/")).await;
    answer(&mut kept).await;
    let (mut asked, mut silent) = (server.send(&head("/hang")).await, server.connect().await);
    sleep(HEAD / 2).await;
    server.stop.cancel();
    ended(&mut kept).await;
    ended(&mut silent).await;
    assert!(TcpStream::connect(server.address).await.is_err(), "it still listens");
    assert!(!server.served.is_finished());
    server.release.notify_one();
    assert!(answer(&mut asked).await.starts_with("HTTP/1.1 200"));
    assert!(timeout(LATE, server.served).await.unwrap().unwrap(), "all were answered");
}
