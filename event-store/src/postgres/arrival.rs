//! Waits for a database that is on its way: its server starts, its name is not known yet, nobody listens there yet. It
//! never waits for what time does not mend: a wrong password, a wrong database, an address that is not one.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use sqlx::Connection;

use super::connect::{address, connect, is_lost};
use super::open::OpenError;
use super::options::Options;

/// Between two tries: a start takes seconds.
const PAUSE: Duration = Duration::from_millis(250);

/// Waits until the database at `url` accepts a connection, about as long as `patience` at most. `told` gets the first
/// reason to wait, once.
///
/// # Errors
/// The database's error if waiting does not mend it, or if the last try fails.
pub async fn arrival(url: &str, patience: Duration, told: impl FnOnce(&OpenError)) -> Result<(), OpenError> {
    let address = address(&Options::new(url).role("migrate"))?;
    let begun = Instant::now();
    let mut told = Some(told);
    loop {
        match connect(&address).await {
            Ok(connection) => {
                // It has answered: whether it hears the farewell is the same to us.
                connection.close().await.ok();
                return Ok(());
            }
            Err(error) if is_on_its_way(&error) && begun.elapsed() < patience => {
                if let Some(told) = told.take() {
                    told(&error);
                }
            }
            Err(error) => return Err(error),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a database that answers so may accept connections a little later.
fn is_on_its_way(error: &OpenError) -> bool {
    let OpenError::Postgres(error) = error else {
        return false;
    };
    match error {
        // Nobody answers within the time of one try: packets to a host that is not there yet are lost.
        sqlx::Error::PoolTimedOut => true,
        // It starts, stops or recovers. A refusal of the user or the database is of another class.
        sqlx::Error::Database(_) => is_lost(error),
        // Refused, cut, or a name that is not known: that has no kind of its own. What is excluded lies in the settings:
        // certificates, addresses, rights on a socket.
        sqlx::Error::Io(error) => !matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::PermissionDenied | ErrorKind::Unsupported
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A message by which a server ends a connection that it does not let in.
    fn refusal(code: &str, message: &str) -> Vec<u8> {
        let mut fields = Vec::new();
        for (field, text) in [('S', "FATAL"), ('V', "FATAL"), ('C', code), ('M', message)] {
            fields.push(u8::try_from(field).unwrap());
            fields.extend(text.bytes().chain([0]));
        }
        fields.push(0);
        let length = u32::try_from(fields.len() + 4).unwrap();
        [&b"E"[..], &length.to_be_bytes(), &fields].concat()
    }

    /// Answers one connection after the other with these refusals, after a time in which nobody listens.
    async fn answer(port: u16, after: Duration, refusals: Vec<Vec<u8>>) {
        tokio::time::sleep(after).await;
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        for refusal in refusals {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut startup = [0; 8];
            client.read_exact(&mut startup).await.unwrap();
            client.write_all(&refusal).await.unwrap();
            client.shutdown().await.unwrap();
            // Until the client has gone: a socket closed on unread bytes is reset, and the refusal with it.
            client.read_to_end(&mut Vec::new()).await.ok();
        }
    }

    fn url(port: u16) -> String {
        format!("postgres://somebody:secret@127.0.0.1:{port}/somewhere?sslmode=disable")
    }

    /// The code of a refusal.
    fn code(error: &OpenError) -> Option<String> {
        match error {
            OpenError::Postgres(sqlx::Error::Database(error)) => error.code().map(Into::into),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_server_that_starts_is_waited_for_and_a_wrong_password_is_an_error_at_once() {
        let port = servers::free_port();
        let starting = refusal("57P03", "the database system is starting up");
        let refusals = vec![starting.clone(), starting, refusal("28P01", "password authentication failed")];
        let server = tokio::spawn(answer(port, Duration::from_millis(600), refusals));
        let mut told = Vec::new();
        let begun = Instant::now();
        let error = arrival(&url(port), Duration::from_secs(60), |why| told.push(why.to_string())).await.unwrap_err();
        assert_eq!(code(&error).as_deref(), Some("28P01"), "{error}");
        assert!(begun.elapsed() >= Duration::from_millis(600), "nobody listened yet, and nobody waited");
        assert!(begun.elapsed() < Duration::from_secs(30), "a wrong password was waited for");
        assert_eq!(told.len(), 1, "{told:?}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_does_not_exist_is_an_error_at_once() {
        let port = servers::free_port();
        let server = tokio::spawn(answer(port, Duration::ZERO, vec![refusal("3D000", "there is no such database")]));
        // The server may begin a moment later than this: that is the waiting that is allowed.
        let error = arrival(&url(port), Duration::from_secs(60), |_| {}).await.unwrap_err();
        assert_eq!(code(&error).as_deref(), Some("3D000"), "{error}");
        server.await.unwrap();
    }

    #[tokio::test]
    async fn the_wait_has_an_end() {
        let begun = Instant::now();
        let patience = Duration::from_millis(700);
        let mut told = 0;
        let error = arrival(&url(servers::free_port()), patience, |_| told += 1).await.unwrap_err();
        assert!(matches!(error, OpenError::Postgres(sqlx::Error::Io(_))), "{error:?}");
        assert!(begun.elapsed() >= patience && told == 1, "{:?}, told {told} times", begun.elapsed());
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_yet_is_waited_for() {
        let error = tokio::net::lookup_host(("database.invalid", 5432)).await.err().unwrap();
        assert!(is_on_its_way(&OpenError::Postgres(sqlx::Error::Io(error))));
    }

    #[test]
    fn what_time_does_not_mend_is_not_waited_for() {
        let io = |kind: ErrorKind| OpenError::Postgres(sqlx::Error::Io(kind.into()));
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof] {
            assert!(is_on_its_way(&io(kind)), "{kind}");
        }
        for kind in [ErrorKind::InvalidData, ErrorKind::PermissionDenied] {
            assert!(!is_on_its_way(&io(kind)), "{kind}");
        }
        assert!(!is_on_its_way(&OpenError::Address("x".into())));
        assert!(!is_on_its_way(&OpenError::Postgres(sqlx::Error::Protocol("x".into()))));
    }
}
