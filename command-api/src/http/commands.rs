//! The outcome of a command, by its idempotency key. The answer takes all appends in flight into account: 404 means
//! that it was not accepted so far.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use schemas::http::command::{CommandBody, CommandOutcome, CommandStream, RefusalBody};

use super::Api;
use super::answer::{Answer, Place};
use super::describe;
use super::extract::{Caller, Id, request_id};
use super::problem::Failure;
use crate::execute::{Done, Verdict, command_id};

struct OutcomeAnswers;

impl utoipa::IntoResponses for OutcomeAnswers {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::Response>> {
        describe::question("CommandBody")
    }
}

/// The outcome of a command. 404: it was not accepted so far.
#[utoipa::path(get, path = "/v1/commands/{idempotency_key}", tag = "commands",
    params(("idempotency_key" = String, Path)), responses(OutcomeAnswers))]
pub(super) async fn outcome(
    State(api): State<Api>,
    caller: Caller,
    Id(key): Id<String>,
    headers: HeaderMap,
) -> Result<Answer, Failure> {
    let request_id = request_id(&headers);
    let id = command_id(&caller.tenant, &key);
    let found =
        api.executor().outcome(&caller.tenant, id).await.map_err(|error| Failure::unanswered(&error, request_id))?;
    let Some(done) = found else {
        let detail = "no command of that key was accepted so far";
        return Err(Failure::new("not-found", detail));
    };
    let place = Place { position: Some(done.position), ..Place::default() };
    Answer::new(StatusCode::OK, &told(key, done), place).map_err(|error| Failure::internal(request_id, &error))
}

fn told(key: String, done: Done) -> CommandBody {
    let (outcome, refusal) = match done.verdict {
        Verdict::Applied => (CommandOutcome::Done, None),
        Verdict::NothingToDo => (CommandOutcome::NothingToDo, None),
        Verdict::Refused(refused) => {
            let refusal = RefusalBody { code: refused.code, detail: refused.message, details: refused.details };
            (CommandOutcome::Refused, Some(refusal))
        }
    };
    CommandBody {
        idempotency_key: key,
        command_id: done.command_id,
        outcome,
        refusal,
        streams: done
            .streams
            .into_iter()
            .map(|(name, version)| CommandStream { stream: format!("{}-{}", name.category, name.id), version })
            .collect(),
        position: done.position,
        recorded_at: done.recorded_at,
    }
}
