//! Several requests on one connection: a client that does not read one answer loses that stream, and one that reads
//! none loses its connection.

use super::frames::{Connection, DATA, GOAWAY, RST_STREAM};
use super::*;

#[tokio::test]
async fn one_stream_that_is_not_taken_is_reset_and_the_others_go_on() {
    let server = listen(64).await;
    let mut client = Connection::begin(server.connect().await, 0).await;
    client.get(1, "/big").await;
    let (mut next, mut reset, mut answered) = (3, false, 0);
    client.get(next, "/").await;
    client.allow(next, 1_000).await;
    // Some more are asked for after the reset.
    while !reset || answered < 8 {
        let frame = client.next().await.expect("the connection was ended");
        match (frame.stream, frame.kind) {
            (1, RST_STREAM) => reset = true,
            (1, DATA) => panic!("the server sent what it was not allowed to: {} bytes", frame.payload.len()),
            (stream, _) if stream == next && frame.ends() => {
                answered += 1;
                next += 2;
                sleep(WRITE / 10).await;
                client.get(next, "/").await;
                client.allow(next, 1_000).await;
            }
            (0, _) => panic!("{frame:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_connection_on_which_nothing_is_taken_is_ended() {
    let server = listen(64).await;
    let mut client = Connection::begin(server.connect().await, 0).await;
    for stream in [1, 3, 5] {
        client.get(stream, "/big").await;
    }
    let (mut resets, mut farewell) = (0, false);
    while let Some(frame) = client.next().await {
        resets += usize::from(frame.kind == RST_STREAM);
        farewell |= frame.kind == GOAWAY;
    }
    assert_eq!(resets, 3);
    assert!(farewell, "it was not told");
}

#[tokio::test]
async fn a_stream_that_is_taken_slowly_comes_whole() {
    let server = listen(64).await;
    let mut client = Connection::begin(server.connect().await, 0).await;
    client.get(1, "/big").await;
    let (mut taken, begun) = (0, Instant::now());
    client.allow(0, 1 << 30).await;
    client.allow(1, 200_000).await;
    while taken < BIG {
        let frame = client.next().await.expect("the connection was ended");
        assert!(frame.kind != RST_STREAM, "it was reset after {taken} bytes");
        if frame.kind != DATA {
            continue;
        }
        taken += frame.payload.len();
        if taken % 200_000 < frame.payload.len() {
            if begun.elapsed() < 4 * WRITE {
                sleep(WRITE / 4).await;
            }
            client.allow(1, 200_000).await;
        }
    }
    assert!(begun.elapsed() > 2 * WRITE, "it was not slow");
}
