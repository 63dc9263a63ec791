//! Operations on records: setting an unreadable one aside, with a reason.

use axum::extract::State;
use axum::http::StatusCode;
use domain::stream;
use domain::time::Timestamp;
use schemas::http::event::{DryRunBody, EventBody, Payload};
use schemas::http::record::{RecordBody, RecordState, SetAsideBody, SetAsideRecord};

use super::Api;
use super::answer::{Answer, Place};
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, Id};
use super::problem::Failure;
use crate::aside::{Aside, Verdict};
use crate::execute::Done;

answers! {
    SetAsideAnswers: [200] "RecordBody", ["record-readable"];
}

/// Set aside a record that cannot be read: it is ignored from now on, and its stream can be read again. A readable
/// record is refused; a repetition does nothing.
#[utoipa::path(post, path = "/v1/records/{position}/set-aside", tag = "records", request_body = SetAsideRecord,
    params(("position" = u64, Path), CommandHeaders, CommandQuery), responses(SetAsideAnswers))]
pub(super) async fn set_aside(
    State(api): State<Api>,
    Id(position): Id<u64>,
    ask: Ask<SetAsideRecord>,
) -> Result<Answer, Failure> {
    let how = &ask.how;
    let reason = ask.body.try_into_reason()?;
    let request = how.envelope(&stream::outcome(how.command_id), how.command_id);
    let answered = api.executor().set_aside(request, position, reason).await;
    let answered = answered.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
    let at = (answered.position > 0).then_some(answered.position);
    let place = Place { position: at, replayed: answered.replayed, ..Place::default() };
    match answered.verdict {
        Verdict::Aside(aside) => api.answer(how, StatusCode::OK, &body(&aside), place),
        Verdict::Absent => Err(Failure::new("not-found", format!("there is no record at position {position}"))),
        Verdict::Refused(refused) => Err(Failure::refused(&refused, &Done::nothing(how.command_id)).at_place(place)),
        Verdict::Rehearsed { stream, version, event } => {
            let data = Payload::readable(&event.data);
            let kind = event.kind.to_string();
            let planned = EventBody::planned(stream.to_string(), version, kind, event.schema_version, data);
            api.answer(how, StatusCode::OK, &DryRunBody::new(vec![planned]), Place::default())
        }
    }
}

fn body(aside: &Aside) -> RecordBody {
    let Aside { stream, fact, actor, by } = aside;
    RecordBody {
        position: fact.position,
        stream: stream.to_string(),
        version: fact.version,
        kind: fact.kind.clone(),
        state: RecordState::SetAside,
        unreadable: fact.unreadable.clone(),
        set_aside: Some(SetAsideBody {
            reason: fact.reason.clone(),
            actor: actor.clone(),
            position: by.position,
            recorded_at: Timestamp::from_micros(by.recorded_at),
        }),
    }
}
