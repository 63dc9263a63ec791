//! Tells the service manager how this process is: a datagram to the socket that it named. Without one, it sends nothing.
//! It must never keep a process from its work: what cannot be told is logged.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::Sources;

/// Clients are let in.
pub(crate) const READY: &str = "READY=1";
/// It ends, in order.
pub(crate) const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one.
pub(crate) fn tell(state: &str) {
    let Some(socket) = Sources::notify_socket() else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(error = %error, state, "the service manager was not told that this process begins or ends; nothing to do unless it waits for that");
    }
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let from = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the process.
    from.set_nonblocking(true)?;
    from.send_to_addr(state.as_bytes(), &address(socket)?).map(drop)
}

/// A name that begins with an at sign is not in the file system.
#[cfg(target_os = "linux")]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;

    match socket.as_bytes().split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        _ => SocketAddr::from_pathname(socket),
    }
}

#[cfg(not(target_os = "linux"))]
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    SocketAddr::from_pathname(socket)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use std::time::Duration;

    use super::*;

    fn heard(manager: &UnixDatagram) -> String {
        manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut word = [0; 64];
        let length = manager.recv(&mut word).unwrap();
        String::from_utf8_lossy(&word[..length]).into_owned()
    }

    #[test]
    fn a_manager_is_told_on_a_socket_of_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), READY).unwrap();
        assert_eq!(heard(&manager), "READY=1");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_manager_is_told_on_a_socket_without_a_file() {
        use std::os::linux::net::SocketAddrExt as _;

        let name = format!("daybook-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), STOPPING).unwrap();
        assert_eq!(heard(&manager), "STOPPING=1");
    }

    #[test]
    fn a_manager_that_is_not_there_is_an_error_and_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        send(folder.path().join("nobody").as_os_str(), READY).unwrap_err();
    }
}
