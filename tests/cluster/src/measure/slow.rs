//! A database whose commits take longer: everything passes at once but for `COMMIT`, which waits on its way there.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::Context as _;

/// How sqlx ends a transaction: a simple query, the last thing in what it sends.
const COMMIT: &[u8] = b"COMMIT\0";

/// The address of the same database behind something that holds every commit back for a while.
pub(super) fn commits(url: &str, delay: Duration) -> anyhow::Result<String> {
    let (before, rest) = url.split_once('@').context("an address with a user")?;
    let (host, after) = rest.split_once('/').context("an address with a database")?;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let own = listener.local_addr()?;
    let target = host.to_owned();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&target) else {
                continue;
            };
            for stream in [&client, &server] {
                stream.set_nodelay(true).ok();
            }
            if let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) {
                std::thread::spawn(move || pump(from, to, delay));
            }
            std::thread::spawn(move || pump(server, client, Duration::ZERO));
        }
    });
    Ok(format!("{before}@{own}/{after}"))
}

fn pump(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !delay.is_zero() && buffer[..count].ends_with(COMMIT) {
            std::thread::sleep(delay);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_commit_waits_and_nothing_else_does() {
        let echo = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let host = echo.local_addr().expect("its address");
        std::thread::spawn(move || {
            let (from, _) = echo.accept().expect("a connection");
            let to = from.try_clone().expect("its other half");
            pump(from, to, Duration::ZERO);
        });
        let delay = Duration::from_millis(500);
        let url = commits(&format!("postgres://user@{host}/name"), delay).expect("an address");
        let own = url.strip_prefix("postgres://user@").and_then(|url| url.strip_suffix("/name"));
        let mut stream = TcpStream::connect(own.expect("the same but for the host")).expect("a way");
        let mut times = Vec::new();
        for text in [&b"Q\0\0\0\x0aBEGIN\0"[..], b"Q\0\0\0\x0bCOMMIT\0"] {
            let begun = Instant::now();
            stream.write_all(text).expect("sent");
            let mut back = vec![0; text.len()];
            stream.read_exact(&mut back).expect("passed on");
            assert_eq!(back, text);
            times.push(begun.elapsed());
        }
        assert!(times[0] < delay && times[1] >= delay, "{times:?}");
    }
}
