//! Bulk imports: the whole content is uploaded and runs behind the answer. The content is the key: the same content is
//! the same run, which adds nothing twice and continues where it was interrupted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode, Uri};
use domain::ids::{ImportId, Tenant};
use domain::import::{Event, Import, Run};
use domain::stream;
use schemas::StoredEvent as _;
use schemas::http::check::Check;
use schemas::http::import::{
    ImportBody, ImportErrorsBody, ImportLayout, ImportParams, ImportPreview, ImportStatus, RefusedRow,
};
use schemas::http::instant::AHEAD_S;
use utoipa::IntoResponses;
use utoipa::openapi::{RefOr, Response};

use super::Api;
use super::answer::{Answer, Place};
use super::arrival;
use super::describe;
use super::extract::{Caller, Id, request_id};
use super::headers;
use super::problem::Failure;
use crate::execute::{Error, stream_id};
use crate::import::Layout;
use crate::import::run;
use crate::import::service::{Preview, Rejected, Submission};

/// The largest content, in bytes. It is held in memory while it is read: twice the size of a year of a busy shop.
pub const LARGEST_IMPORT: usize = 256 * 1024 * 1024;

type Responses = std::collections::BTreeMap<String, RefOr<Response>>;

struct StartAnswers;

impl IntoResponses for StartAnswers {
    fn responses() -> Responses {
        describe::start("ImportBody", "ImportPreview", &["import-changed", "unknown-layout", "unreadable-content"])
    }
}

struct RunAnswers;

impl IntoResponses for RunAnswers {
    fn responses() -> Responses {
        describe::question("ImportBody")
    }
}

struct ErrorsAnswers;

impl IntoResponses for ErrorsAnswers {
    fn responses() -> Responses {
        describe::question("ImportErrorsBody")
    }
}

/// Import orders in bulk. Answers with the run at its start; query it for its progress.
#[utoipa::path(post, path = "/v1/imports", tag = "imports", params(ImportParams),
    request_body(content((String = "text/csv"), (String = "application/x-ndjson"))), responses(StartAnswers))]
pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    uri: Uri,
    headers: HeaderMap,
    place: Option<Extension<Arc<schemas::http::place::Place>>>,
    body: Body,
) -> Result<Answer, Failure> {
    let key = headers::idempotency_key(&headers)?;
    let params = params(&uri)?;
    let by_type = by_type(&headers)?;
    let Some(service) = api.imports() else {
        let detail = "no content is taken in at the moment: send it again later";
        return Err(Failure::new("overloaded", detail).retry_after(std::time::Duration::from_secs(5)));
    };
    let mut room = api.uploads().begin();
    let arriving = room.fill(body, LARGEST_IMPORT, api.settings().bodies);
    let content = arrival::without_place(place.as_deref(), arriving).await?;
    let submission = Submission {
        key,
        held: Box::new(room),
        tenant: caller.tenant.clone(),
        actor: caller.actor.id.clone(),
        layout: params.layout.map(layout).or(by_type),
        policy: params.policy.map(Into::into).unwrap_or_default(),
        source: params.source.unwrap_or_else(|| "http".to_owned()),
        content,
    };
    let id = request_id(&headers);
    if params.dry_run {
        let latest = api.now().plus_seconds(AHEAD_S);
        let preview = service.preview(submission, latest).await.map_err(|rejected| not_taken(&rejected, id))?;
        return answer(StatusCode::OK, &as_preview(preview), Place::default(), id);
    }
    let import_id = service.submit(submission).await.map_err(|rejected| not_taken(&rejected, id))?;
    let run = api.run_of(&caller.tenant, import_id, id).await?;
    let place = Place { location: Some(format!("/v1/imports/{import_id}")), ..Place::default() };
    answer(StatusCode::ACCEPTED, &as_started(&run), place, id)
}

/// How far a bulk run is.
#[utoipa::path(get, path = "/v1/imports/{id}", tag = "imports",
    params(("id" = uuid::Uuid, Path)), responses(RunAnswers))]
pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    Id(import_id): Id<ImportId>,
    headers: HeaderMap,
) -> Result<Answer, Failure> {
    let id = request_id(&headers);
    let run = api.run_of(&caller.tenant, import_id, id).await?;
    let mut body = as_started(&run);
    body.refused = run.rows_refused;
    if let Some(counts) = run.finished {
        body.status = ImportStatus::Finished;
        body.counts = counts;
    }
    answer(StatusCode::OK, &body, Place::default(), id)
}

/// The rows that an import has refused until now, with their lines and reasons.
#[utoipa::path(get, path = "/v1/imports/{id}/errors", tag = "imports",
    params(("id" = uuid::Uuid, Path)), responses(ErrorsAnswers))]
pub(super) async fn errors(
    State(api): State<Api>,
    caller: Caller,
    Id(import_id): Id<ImportId>,
    headers: HeaderMap,
) -> Result<Answer, Failure> {
    let id = request_id(&headers);
    api.run_of(&caller.tenant, import_id, id).await?;
    let rows = api.refused_rows(&caller.tenant, import_id).await.map_err(|error| Failure::unanswered(&error, id))?;
    let body = ImportErrorsBody { import_id, rows };
    answer(StatusCode::OK, &body, Place::default(), id)
}

fn answer(
    status: StatusCode,
    body: &impl serde::Serialize,
    place: Place,
    request_id: Option<&str>,
) -> Result<Answer, Failure> {
    Answer::new(status, body, place).map_err(|error| Failure::internal(request_id, &error))
}

fn params(uri: &Uri) -> Result<ImportParams, Failure> {
    let Query(params) = Query::<ImportParams>::try_from_uri(uri).map_err(|rejection| {
        let detail: String = rejection.body_text().chars().take(300).collect();
        Failure::at("malformed-query", "", detail)
    })?;
    let mut check = Check::new();
    let source = check.optional_text("source", params.source.as_deref(), 200);
    let params = ImportParams { source, ..params };
    check
        .finish(params)
        .map_err(|invalid| Failure::new("malformed-query", "a parameter is out of bounds").with_errors(invalid.faults))
}

/// The layout from the content type. CSV has several layouts, which the header line distinguishes.
fn by_type(headers: &HeaderMap) -> Result<Option<Layout>, Failure> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or("").trim().to_ascii_lowercase());
    match given.as_deref() {
        _ if headers.contains_key(CONTENT_ENCODING) => {
            Err(Failure::new("unsupported-media-type", "content is not taken compressed"))
        }
        Some("text/csv") => Ok(None),
        Some("application/x-ndjson" | "application/ndjson") => Ok(Some(Layout::OrdersNdjson)),
        _ => Err(Failure::new("unsupported-media-type", "send text/csv or application/x-ndjson")),
    }
}

fn layout(named: ImportLayout) -> Layout {
    match named {
        ImportLayout::Retail => Layout::Retail,
        ImportLayout::OrdersCsv => Layout::OrdersCsv,
        ImportLayout::OrdersNdjson => Layout::OrdersNdjson,
    }
}

fn not_taken(rejected: &Rejected, request_id: Option<&str>) -> Failure {
    let detail = rejected.to_string();
    match rejected {
        Rejected::NoLayout => Failure::new("unknown-layout", detail),
        Rejected::Unreadable(_) => Failure::new("unreadable-content", detail),
        Rejected::Busy => Failure::new("overloaded", detail).retry_after(std::time::Duration::from_secs(5)),
        Rejected::NotStarted(run::Error::KeyReused) => Failure::new("idempotency-key-reused", detail),
        Rejected::NotStarted(run::Error::Refused(why)) => Failure::new("import-changed", why.clone()),
        Rejected::NotStarted(run::Error::Command(error)) => Failure::unanswered(error, request_id),
        Rejected::NotStarted(run::Error::Stopped) => {
            Failure::new("unavailable", detail).retry_after(std::time::Duration::from_secs(5))
        }
        Rejected::NotStarted(_) => Failure::internal(request_id, rejected),
    }
}

fn as_preview(preview: Preview) -> ImportPreview {
    ImportPreview {
        import_id: preview.started.import_id,
        layout: preview.started.layout,
        sha256: preview.started.sha256,
        counts: preview.counts,
        refused: preview.refused.iter().map(RefusedRow::from).collect(),
    }
}

/// A run as it was at its start: the answer to every submission of the content.
fn as_started(run: &Run) -> ImportBody {
    let started = &run.started;
    ImportBody {
        import_id: started.import_id,
        layout: started.layout.clone(),
        sha256: started.sha256.clone(),
        source: started.source.clone(),
        policy: started.policy.into(),
        status: ImportStatus::Running,
        refused: 0,
        counts: std::collections::BTreeMap::new(),
    }
}

impl Api {
    async fn run_of(&self, tenant: &Tenant, import_id: ImportId, request_id: Option<&str>) -> Result<Run, Failure> {
        let (found, _) = self
            .executor()
            .load::<Import>(tenant, &stream::import(import_id))
            .await
            .map_err(|error| Failure::unanswered(&error, request_id))?;
        match &*found {
            Import::Started(run) => Ok(run.clone()),
            Import::Absent => Err(Failure::new("not-found", "there is no such import")),
        }
    }

    async fn refused_rows(&self, tenant: &Tenant, import_id: ImportId) -> Result<Vec<RefusedRow>, Error> {
        let stream = stream_id(tenant, &stream::import(import_id));
        let (mut rows, mut at) = (Vec::new(), 0);
        loop {
            let entries = streams::after(&**self.executor().store(), &stream, at).await?;
            let Some(last) = entries.last() else {
                return Ok(rows);
            };
            at = last.record.version;
            for entry in &entries {
                if let Some(Event::RowsRefused(part)) = entry.event.as_ref().and_then(Event::of) {
                    rows.extend(part.rows.iter().map(RefusedRow::from));
                }
            }
        }
    }
}
