//! A TCP proxy before a server, which can begin to swallow everything, both ways, and say nothing: what a firewall that forgot the
//! connection does, or a machine that lost its power. Connections stand, new ones are taken, nothing passes, and nobody is told. It ends in
//! one of three ways.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// How a proxy stands.
#[derive(Default)]
struct State {
    swallows: bool,
    /// How often those that stood while it swallowed were cut, and how often they were left mute.
    cuts: u64,
    mutes: u64,
    /// What was kept from passing.
    connections: u64,
    bytes: u64,
    /// Both ends of what stands, to be cut.
    standing: Vec<TcpStream>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The proxy. Its threads end with the test process.
pub struct Swallow {
    port: u16,
    shared: Arc<Shared>,
}

impl Swallow {
    /// A proxy before a port of this machine, where a server need not listen yet.
    ///
    /// # Panics
    /// If there is no port for it.
    #[must_use]
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, born) = (Arc::clone(&all), all.state().born());
                std::thread::spawn(move || carry(client, server, &shared, born));
            }
        });
        Self { port, shared }
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
        self.change(|state| state.swallows = true);
    }

    /// New connections pass again; those that have lost something stay mute.
    pub fn end(&self) {
        self.change(|state| (state.swallows, state.mutes) = (false, state.mutes + 1));
    }

    /// What stood goes on, with the bytes that were on their way, as after a network that was away.
    pub fn go_on(&self) {
        self.change(|state| state.swallows = false);
    }

    /// What stood is cut; new connections pass.
    pub fn cut(&self) {
        self.change(|state| {
            (state.swallows, state.cuts) = (false, state.cuts + 1);
            for stream in state.standing.drain(..) {
                // It may be gone already.
                drop(stream.shutdown(Shutdown::Both));
            }
        });
    }

    /// How many bytes were swallowed.
    #[must_use]
    pub fn swallowed(&self) -> u64 {
        self.shared.state().bytes
    }

    /// How many new connections were swallowed.
    #[must_use]
    pub fn swallowed_connections(&self) -> u64 {
        self.shared.state().connections
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        self.shared.changed.notify_all();
    }
}

impl State {
    fn born(&self) -> (u64, u64) {
        (self.cuts, self.mutes)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something passes, if it does not; false if what is in hand never will.
    fn passes(&self, swallowed: impl FnOnce(&mut State)) -> bool {
        let mut state = self.state();
        if !state.swallows {
            return true;
        }
        swallowed(&mut state);
        let before = state.born();
        while state.swallows && state.born() == before {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.born() == before
    }

    /// Waits until a connection is cut that has lost something: until then it stands, and is mute.
    fn stands_mute(&self, cuts: u64) {
        let mut state = self.state();
        while state.cuts == cuts {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn carry(client: TcpStream, server: u16, shared: &Arc<Shared>, (cuts, _): (u64, u64)) {
    // A connection that is made meanwhile stands, and its server never hears of it.
    if !shared.passes(|state| state.connections += 1) {
        return shared.stands_mute(cuts);
    }
    let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ends = || Some([client.try_clone().ok()?, server.try_clone().ok()?]);
    let (Some(standing), Some(there), Some(back)) = (ends(), ends(), ends()) else { return };
    {
        let mut state = shared.state();
        if state.cuts != cuts {
            return;
        }
        state.standing.extend(standing);
    }
    // Both ways of one connection are dead once either has lost something.
    let dead = Arc::new(Mutex::new(false));
    let ([from_client, to_server], [to_client, from_server]) = (there, back);
    for (from, to) in [(from_client, to_server), (from_server, to_client)] {
        let (shared, dead) = (Arc::clone(shared), Arc::clone(&dead));
        std::thread::spawn(move || pass(from, to, &shared, &dead, cuts));
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, shared: &Shared, dead: &Mutex<bool>, cuts: u64) {
    let mut buffer = vec![0; 65_536];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        let dead = || dead.lock().unwrap_or_else(PoisonError::into_inner);
        // An end that is said while nothing passes is not heard either.
        let passes = shared.passes(|state| state.bytes += read as u64);
        *dead() |= !passes;
        if *dead() {
            return shared.stands_mute(cuts);
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            // The other side hears of it, unless it is gone itself.
            drop(to.shutdown(Shutdown::Both));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::time::Duration;

    /// A server that says everything back.
    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                std::thread::spawn(move || std::io::copy(&mut &client, &mut &client));
            }
        });
        port
    }

    fn client(proxy: &Swallow) -> TcpStream {
        let client = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        client.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        client
    }

    /// What comes back, or why nothing does; nothing at all is an end.
    fn says(client: &mut TcpStream, word: &[u8]) -> Result<Vec<u8>, std::io::ErrorKind> {
        client.write_all(word).map_err(|error| error.kind())?;
        hears(client)
    }

    fn hears(client: &mut TcpStream) -> Result<Vec<u8>, std::io::ErrorKind> {
        let mut heard = vec![0; 64];
        let read = client.read(&mut heard).map_err(|error| error.kind())?;
        heard.truncate(read);
        Ok(heard)
    }

    /// Two connections, one of them made meanwhile, that were told something while everything was swallowed.
    fn swallowed(proxy: &Swallow) -> [TcpStream; 2] {
        let mut old = client(proxy);
        assert_eq!(says(&mut old, b"one").unwrap(), b"one");
        proxy.begin();
        let mut new = client(proxy);
        for client in [&mut old, &mut new] {
            assert_eq!(says(client, b"two"), Err(std::io::ErrorKind::WouldBlock));
        }
        assert_eq!((proxy.swallowed(), proxy.swallowed_connections()), (3, 1));
        [old, new]
    }

    #[test]
    fn what_stood_goes_on_with_what_was_on_its_way() {
        let proxy = Swallow::before(echo());
        let both = swallowed(&proxy);
        proxy.go_on();
        for mut client in both {
            assert_eq!(hears(&mut client).unwrap(), b"two");
            assert_eq!(says(&mut client, b"three").unwrap(), b"three");
        }
    }

    #[test]
    fn what_has_lost_something_stays_mute_and_new_connections_pass() {
        let proxy = Swallow::before(echo());
        let both = swallowed(&proxy);
        proxy.end();
        for mut client in both {
            assert_eq!(says(&mut client, b"three"), Err(std::io::ErrorKind::WouldBlock));
        }
        assert_eq!(says(&mut client(&proxy), b"four").unwrap(), b"four");
    }

    #[test]
    fn what_stood_is_cut_and_new_connections_pass() {
        let proxy = Swallow::before(echo());
        let both = swallowed(&proxy);
        proxy.cut();
        for mut client in both {
            assert!(
                matches!(hears(&mut client), Ok(heard) if heard.is_empty()) || says(&mut client, b"three").is_err()
            );
        }
        assert_eq!(says(&mut client(&proxy), b"four").unwrap(), b"four");
    }
}
