//! A TCP proxy before a server, which can begin to swallow what is sent, both ways, and say nothing: what a firewall that forgot the
//! connection does, or a machine that lost its power. It never closes a connection by itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[derive(Default)]
struct State {
    swallows: AtomicBool,
    swallowed: AtomicUsize,
}

/// The proxy. Its threads end with the test process.
pub struct Swallow {
    port: u16,
    state: Arc<State>,
}

impl Swallow {
    /// A proxy before a port of this machine.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let _ = (client.set_nodelay(true), server.set_nodelay(true));
                // Both ways of one connection are dead once either has lost something.
                let dead = Arc::new(AtomicBool::new(false));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (state, dead) = (Arc::clone(&shared), Arc::clone(&dead));
                    std::thread::spawn(move || pass(from, to, &state, &dead));
                }
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// An address, through the proxy.
    #[must_use]
    pub fn through(&self, url: &str, server: u16) -> String {
        url.replace(&format!(":{server}"), &format!(":{}", self.port))
    }

    /// From now on everything is swallowed.
    pub fn begin(&self) {
        self.state.swallows.store(true, Ordering::SeqCst);
    }

    /// New connections pass again; those that have lost something stay mute.
    pub fn end(&self) {
        self.state.swallows.store(false, Ordering::SeqCst);
    }

    /// How many pieces were swallowed.
    #[must_use]
    pub fn swallowed(&self) -> usize {
        self.state.swallowed.load(Ordering::SeqCst)
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, state: &State, dead: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if state.swallows.load(Ordering::SeqCst) || dead.load(Ordering::SeqCst) {
            dead.store(true, Ordering::SeqCst);
            state.swallowed.fetch_add(1, Ordering::SeqCst);
        } else if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    if !dead.load(Ordering::SeqCst) && !state.swallows.load(Ordering::SeqCst) {
        let _ = to.shutdown(Shutdown::Both);
    }
}
