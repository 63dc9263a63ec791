//! The API description of each route's answers: generated from the same list of codes as the answers, so that no route
//! can answer with an undocumented code.

use std::collections::BTreeMap;

use schemas::http::check::Fault;
use schemas::http::code;
use schemas::http::command::CommandBody;
use schemas::http::event::{DryRunBody, EventBody};
use schemas::http::import::{ImportBody, ImportErrorsBody, ImportPreview};
use schemas::http::order::OrderBody;
use schemas::http::payment::PaymentBody;
use schemas::http::problem::{CONTENT_TYPE, Problem};
use schemas::http::record::RecordBody;
use schemas::http::reservation::ReservationBody;
use schemas::http::stock::StockBody;
use schemas::http::test_clock::TestClockBody;
use utoipa::openapi::schema::OneOfBuilder;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Schema, Type,
};
use utoipa::{IntoParams, OpenApi};

/// The bodies that the answers refer to.
#[derive(OpenApi)]
#[openapi(components(schemas(
    OrderBody,
    PaymentBody,
    StockBody,
    ReservationBody,
    CommandBody,
    ImportBody,
    ImportErrorsBody,
    ImportPreview,
    RecordBody,
    TestClockBody,
    DryRunBody,
    EventBody,
    Problem,
    Fault
)))]
pub(super) struct Bodies;

/// Headers and parameters that every command takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Ask` reads")]
pub(super) struct CommandHeaders {
    /// Names the request: a repetition with the same key takes effect only once and always gets the same answer.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255, example = "4f1c7a9e")]
    idempotency_key: Option<String>,
    /// The ETag that was read: refused with 412, and with what happened since, if the resource has changed.
    #[param(rename = "If-Match", example = "\"v7\"")]
    if_match: Option<String>,
}

/// The query parameter that every command takes.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `Ask` reads")]
pub(super) struct CommandQuery {
    /// Answer with the events that would be written, and write none.
    dry_run: Option<bool>,
}

/// The header of commands that start something that takes its time.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes what `Ask` reads")]
pub(super) struct WaitHeader {
    /// `wait=5` waits up to five seconds, and at most sixty, for the outcome.
    #[param(rename = "Prefer", example = "wait=5")]
    prefer: Option<String>,
}

/// What any command can be answered with.
const EVERY_COMMAND: [&str; 21] = [
    "malformed-body",
    "malformed-header",
    "malformed-path",
    "malformed-query",
    "idempotency-key-required",
    "not-found",
    "method-not-allowed",
    "body-too-slow",
    "request-in-progress",
    "version-mismatch",
    "body-too-large",
    "command-too-large",
    "unsupported-media-type",
    "idempotency-key-reused",
    "internal",
    "overloaded",
    "outcome-unknown",
    "log-damaged",
    "unavailable",
    "unreadable-record",
    "outcome-set-aside",
];

/// What any question can be answered with.
const EVERY_QUESTION: [&str; 9] = [
    "malformed-path",
    "not-found",
    "method-not-allowed",
    "internal",
    "overloaded",
    "log-damaged",
    "unavailable",
    "unreadable-record",
    "outcome-set-aside",
];

/// The answers to a command: each success status with the body's schema, and its own codes beside those of every
/// command.
pub(super) fn command(
    successes: &[u16],
    body: &'static str,
    codes: &[&'static str],
) -> BTreeMap<String, RefOr<Response>> {
    let mut responses = problems(&[&EVERY_COMMAND[..], codes].concat());
    for status in successes {
        responses.insert(status.to_string(), success(*status, body, *status == 200).into());
    }
    responses.entry("200".to_owned()).or_insert_with(|| dry_run().into());
    responses
}

/// The answers of routes that start an import: no version that could be stale; with `dry_run`, what the content says.
pub(super) fn start(
    body: &'static str,
    preview: &'static str,
    codes: &[&'static str],
) -> BTreeMap<String, RefOr<Response>> {
    let every: Vec<_> =
        EVERY_COMMAND.into_iter().filter(|code| *code != "version-mismatch").chain(codes.iter().copied()).collect();
    let mut responses = problems(&every);
    responses.insert("202".to_owned(), success(202, body, false).into());
    let said = ResponseBuilder::new()
        .description("With `dry_run`: what the content says")
        .content("application/json", ContentBuilder::new().schema(Some(reference(preview))).build());
    responses.insert("200".to_owned(), said.build().into());
    responses
}

/// The answers of routes that change something outside the log: no key, no dry run, and no version.
pub(super) fn change(body: &'static str) -> BTreeMap<String, RefOr<Response>> {
    let of_bodies = ["malformed-body", "body-too-slow", "body-too-large", "unsupported-media-type", "outcome-unknown"];
    let mut responses = problems(&[&EVERY_QUESTION[..], &of_bodies].concat());
    responses.insert("200".to_owned(), success(200, body, false).into());
    responses
}

/// The answers to a question.
pub(super) fn question(body: &'static str) -> BTreeMap<String, RefOr<Response>> {
    let mut responses = problems(&EVERY_QUESTION);
    responses.insert("200".to_owned(), success(200, body, false).into());
    responses
}

fn reference(name: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(name))
}

fn success(status: u16, body: &'static str, or_dry_run: bool) -> Response {
    let schema = if or_dry_run {
        RefOr::T(Schema::OneOf(OneOfBuilder::new().item(reference(body)).item(reference("DryRunBody")).build()))
    } else {
        reference(body)
    };
    let said = match status {
        201 => "It is done: the resource as it is now",
        202 => "It is on its way: the resource as it is now",
        _ => "The resource as it is now; with `dry_run`, the events that would be written",
    };
    let text = |said: &str| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
            .description(Some(said))
            .build()
    };
    ResponseBuilder::new()
        .description(said)
        .content("application/json", ContentBuilder::new().schema(Some(schema)).build())
        .header("ETag", text("The version of the resource: `\"v7\"`"))
        .header("Daybook-Position", text("The position of the log that this answer shows"))
        .header("Location", text("Where the resource is"))
        .header("Idempotent-Replayed", text("`true` if it was answered before"))
        .header("Preference-Applied", text("`wait=5` if the answer was waited for"))
        .build()
}

fn dry_run() -> Response {
    ResponseBuilder::new()
        .description("With `dry_run`: the events that would be written")
        .content("application/json", ContentBuilder::new().schema(Some(reference("DryRunBody"))).build())
        .build()
}

/// One answer for each status, which lists its codes.
fn problems(codes: &[&'static str]) -> BTreeMap<String, RefOr<Response>> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let status = code::find(code).map_or(500, |known| known.status);
        let listed = by_status.entry(status).or_default();
        if !listed.contains(code) {
            listed.push(code);
        }
    }
    by_status
        .into_iter()
        .map(|(status, mut codes)| {
            codes.sort_unstable();
            let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
            let response = ResponseBuilder::new()
                .description(listed.join(", "))
                .content(CONTENT_TYPE, ContentBuilder::new().schema(Some(reference("Problem"))).build())
                .build();
            (status.to_string(), response.into())
        })
        .collect()
}

/// Names the answers of a route, for `#[utoipa::path(responses(...))]`.
macro_rules! answers {
    ($($name:ident: [$($success:literal),+] $body:literal, [$($code:literal),* $(,)?];)+) => {$(
        pub(super) struct $name;

        impl utoipa::IntoResponses for $name {
            fn responses() -> std::collections::BTreeMap<
                String,
                utoipa::openapi::RefOr<utoipa::openapi::Response>,
            > {
                $crate::http::describe::command(&[$($success),+], $body, &[$($code),*])
            }
        }
    )+};
}

pub(super) use answers;
