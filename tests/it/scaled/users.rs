//! The users of the broker: a role may do what it does and nothing else, and nobody comes in without a password. That every role may do
//! what it does is seen by all the other tests, which find no refusal in any log.

use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt as _;

use super::system::System;
use crate::harness::shop;

/// What compose.yaml gives every user where nothing else is said.
pub(crate) const PASSWORD: &str = "daybook";
/// How long an answer may take that must not come: the broker answers a request that it lets through within milliseconds.
const SILENCE: Duration = Duration::from_secs(1);

/// A client of the broker as one of its users, with inboxes where that user may listen.
pub(crate) async fn connect(urls: &str, user: &str, password: &str) -> Result<Client, async_nats::ConnectError> {
    let nodes: Vec<&str> = urls.split(',').collect();
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    options.custom_inbox_prefix(format!("_INBOX.{user}")).connect(nodes).await
}

async fn jetstream(urls: &str, user: &str) -> Context {
    let mut context = jetstream::new(connect(urls, user, PASSWORD).await.unwrap());
    context.set_timeout(SILENCE);
    context
}

/// Whether a message of one user comes to another.
async fn arrives(urls: &str, from: &str, subject: &str, to: &str) -> bool {
    let listener = connect(urls, to, PASSWORD).await.unwrap();
    let mut heard = listener.subscribe(subject.to_owned()).await.unwrap();
    listener.flush().await.unwrap();
    let sender = connect(urls, from, PASSWORD).await.unwrap();
    sender.publish(subject.to_owned(), "{}".into()).await.unwrap();
    sender.flush().await.unwrap();
    tokio::time::timeout(SILENCE, heard.next()).await.is_ok_and(|message| message.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_may_do_what_it_does_and_nothing_else() {
    let system = System::small().await;
    // With the first order, all streams are there and used.
    let commands = system.commands();
    shop::receive(&commands, "A", 5).await;
    shop::place(&commands, &[("A", 1)], "sandbox:approve").await;
    super::system::refused_nothing(&system.cluster);
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();

    let operator = jetstream(&urls, "operator").await;
    operator.get_stream("DAYBOOK_COMMANDS").await.unwrap();
    for user in ["command-api", "query-api", "relay", "projections", "sagas", "ordering"] {
        let role = jetstream(&urls, user).await;
        assert!(role.delete_stream("DAYBOOK_COMMANDS").await.is_err(), "{user} deletes commands");
        let stream = role.get_stream_no_info("DAYBOOK_COMMANDS").await.unwrap();
        let made = stream.create_consumer(pull::Config::default()).await;
        assert!(made.is_err(), "{user} reads the commands of all services");
    }
    operator.get_stream("DAYBOOK_COMMANDS").await.unwrap();

    // Subjects on which nobody publishes meanwhile: no store comes to such a generation.
    for (user, subject, may) in [
        ("relay", "daybook.events.999999.0.0.order.X", true),
        ("sagas", "daybook.events.999999.0.0.order.X", false),
        ("payments", "daybook.dead.payments.x", true),
        ("ordering", "daybook.dead.payments.x", false),
        ("query-api", "daybook.commands.nobody", false),
        ("sagas", "daybook.commands.nobody", false),
    ] {
        assert_eq!(arrives(&urls, user, subject, "operator").await, may, "{user} publishes {subject}");
    }
    // The answers to one user are heard by no other.
    for (user, may) in [("relay", true), ("query-api", false)] {
        assert_eq!(arrives(&urls, "operator", "_INBOX.relay.x", user).await, may, "{user} hears answers to the relay");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_without_the_right_password() {
    let system = System::small().await;
    let urls = system.environment()["DAYBOOK_NATS__URLS"].clone();
    connect(&urls, "relay", PASSWORD).await.unwrap();
    connect(&urls, "relay", "another").await.map(drop).unwrap_err();
    connect(&urls, "nobody", PASSWORD).await.map(drop).unwrap_err();
    let nodes: Vec<&str> = urls.split(',').collect();
    // The client leaves what an address says of the user to its caller: this one says nothing.
    async_nats::connect(nodes).await.map(drop).unwrap_err();
}
