//! HTTP/2 by hand: a client that can do what no well-behaved library does.

use super::*;

/// Frame types.
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const GOAWAY: u8 = 7;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The setting that says how much of a stream may be sent unasked.
const INITIAL_WINDOW: [u8; 2] = [0, 4];

/// A frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    /// Whether the stream ends with it.
    pub(super) fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }
}

/// A client's connection.
pub(super) struct Connection(TcpStream);

impl Connection {
    /// Begins; the server may send so much of each stream unasked.
    pub(super) async fn begin(stream: TcpStream, window: u32) -> Self {
        let mut connection = Self(stream);
        connection.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let setting = [&INITIAL_WINDOW[..], &window.to_be_bytes()].concat();
        connection.write(SETTINGS, 0, 0, &setting).await;
        connection
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    /// Asks for a path on a stream.
    pub(super) async fn get(&mut self, stream: u32, path: &str) {
        // GET, http, a path and an authority, as HPACK writes them without compression.
        let path = [&[0x04, u8::try_from(path.len()).unwrap()], path.as_bytes()].concat();
        let block = [&[0x82, 0x86][..], &path, &[0x41, 1, b'x']].concat();
        self.write(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
    }

    /// Allows the server to send this many more bytes of a stream; stream 0 means all of them.
    pub(super) async fn allow(&mut self, stream: u32, bytes: u32) {
        self.write(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes()).await;
    }

    /// The next frame that is not about the connection's upkeep; `None` once the server has ended it.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            timeout(LATE, self.0.read_exact(&mut head)).await.expect("nothing comes").ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            timeout(LATE, self.0.read_exact(&mut payload)).await.expect("a frame stays half").ok()?;
            let frame = Frame {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                payload,
            };
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[]).await,
                PING if frame.flags & ACK == 0 => self.write(PING, ACK, 0, &frame.payload).await,
                SETTINGS | PING | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }
}
