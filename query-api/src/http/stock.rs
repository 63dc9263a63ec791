//! Stock: how much there is, now or as it was, and every movement that led there.

pub(super) mod body;

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::ids::{LocationId, Sku};
use domain::stock::Stock;
use domain::stream;
use event_store::record::Position;
use projections::stock_ledger::{self, Moment as Ledger};
use projections::stock_levels::{self, Standing, Which};
use projections::{Answer, Held};
use schemas::http::problem::Problem;

use self::body::{MovementBody, ShortBody, SkuBody, StockLevelBody};
use super::Api;
use super::answer::{Listing, Shown};
use super::caller::Caller;
use super::orders::AsOf;
use super::params::{Id, MOST, Params};
use super::problem::{Absent, Failure, Late, Malformed};
use crate::history::{self, At, Moment, Until};

/// The read model of stock as it is now.
const LEVELS: &str = "stock_levels";

/// How many reservations without stock are listed; later ones appear as these are settled.
const MOST_SHORT: usize = 200;

/// All stock, by SKU and location.
#[utoipa::path(get, path = "/v1/stock", tag = "stock",
    params(("cursor" = Option<String>, Query, description = "The `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200),
        ("short" = Option<bool>, Query, description = "`true`: only SKUs with more units reserved than on hand"),
        ("min_position" = Option<u64>, Query, description = "Wait until the answer shows at least this position")),
    responses(
    (status = 200, description = "A page", body = Listing<StockLevelBody>),
    (status = 400, description = "`malformed-query`, `future-position`", body = Problem, content_type = "application/problem+json"),
    Late,
))]
pub(super) async fn list(State(api): State<Api>, caller: Caller, mut params: Params) -> Result<Shown, Failure> {
    let limit = params.limit(MOST)?;
    let after = params.text("cursor")?.map(|text| from_cursor(&text)).transpose()?;
    let which = match params.parsed("short", "true or false")? {
        Some(true) => Which::Short,
        Some(false) | None => Which::All,
    };
    let min_position = params.min_position()?;
    params.end()?;
    api.reach(LEVELS, min_position).await?;
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let after = after.as_ref().map(|(sku, location)| (sku, location));
    let answer = stock_levels::page(&api.reads(), caller.tenant.as_str(), which, after, wanted).await?;
    Shown::first::<_, StockLevelBody>(answer, limit, |last| cursor(&last.sku, &last.location))
}

/// Neither a SKU nor a location holds a control character, so a line feed parts them.
fn cursor(sku: &Sku, location: &LocationId) -> String {
    URL_SAFE_NO_PAD.encode(format!("{sku}\n{location}"))
}

fn from_cursor(text: &str) -> Result<(Sku, LocationId), Failure> {
    let parts = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let (sku, location) = text.split_once('\n')?;
        Some((Sku::stored(sku).ok()?, LocationId::stored(location).ok()?))
    };
    parts().ok_or_else(|| Failure::at("malformed-query", "cursor", "the cursor does not belong to this list"))
}

/// How much there is of a SKU, now or as it was.
#[utoipa::path(get, path = "/v1/stock/{sku}", tag = "stock",
    params(("sku" = String, Path), ("location" = Option<String>, Query, description = "Only this location"), AsOf),
    responses(
    (status = 200, description = "The stock by location. As of a past moment it never changes", body = SkuBody),
    (status = 400, description = "`future-instant`, `future-position`, `malformed-query`, `malformed-path`", body = Problem,
        content_type = "application/problem+json"),
    Absent,
    Late,
))]
pub(super) async fn one(
    State(api): State<Api>,
    caller: Caller,
    Id(sku): Id<Sku>,
    mut params: Params,
) -> Result<Shown, Failure> {
    let location: Option<LocationId> = params.parsed("location", "a location")?;
    let (min_position, as_of) = (params.min_position()?, params.as_of()?);
    params.end()?;
    api.reach(LEVELS, min_position).await?;
    let tenant = caller.tenant.as_str();
    let (answer, lacks) = api.of_sku(tenant, &sku).await?;
    let mut there = answer.value;
    there.retain(|stock| location.as_ref().is_none_or(|wanted| stock.location == *wanted));
    let Some(at) = as_of else {
        let mut locations = Vec::with_capacity(there.len());
        for stock in there {
            let shortage = api.shortage(tenant, &stock).await?;
            locations.push(StockLevelBody { shortage, ..stock.into() });
        }
        if locations.is_empty() {
            return Err(lacks.unwrap_or_else(|| Failure::absent("SKU")));
        }
        let body = SkuBody { sku, position: answer.position, stale: answer.stale, locations };
        return Ok(Shown::new(&body, answer.position)?.stale(answer.stale));
    };
    if matches!(at, At::Version(_)) && there.len() > 1 {
        return Err(Failure::at("malformed-query", "location", "a version is of one location: name the location"));
    }
    let (mut locations, mut position, mut settled) = (Vec::new(), 0, true);
    if !there.is_empty() {
        let until = history::until(&*api.log, at).await?;
        (position, settled) = (until.position, until.settled);
        for stock in there {
            let then = match off_the_ledger(&api, tenant, &stock, at, until).await? {
                Some(then) => then,
                // The ledger does not show so much yet: the stream itself is folded.
                None => {
                    let moment = history::stock_at(&*api.log, tenant, &stock.location, &sku, at).await?;
                    let known = moment.version > 0;
                    (moment.position, known.then(|| StockLevelBody::then(&sku, stock.location, &moment)))
                }
            };
            if matches!(at, At::Version(_)) {
                position = then.0;
            }
            locations.extend(then.1);
        }
    }
    if locations.is_empty() {
        // A moment in the future is refused as such, even for a SKU that does not exist.
        let moment: Moment<Stock> = history::fold_at(&*api.log, tenant, &nowhere(), at).await?;
        drop(moment);
        return Err(lacks.unwrap_or_else(|| Failure::absent("SKU")));
    }
    let body = SkuBody { sku, position, stale: false, locations };
    // Which locations there are is read from now, so a location that opens later cannot have been there then.
    Ok(Shown::new(&body, position)?.settled(settled))
}

impl Api {
    /// The reservations without stock. The read model keeps no reservations, so the stream is read, if there is a
    /// shortage at all.
    async fn shortage(&self, tenant: &str, stock: &Standing) -> Result<Vec<ShortBody>, Failure> {
        if stock.level.short() == 0 {
            return Ok(Vec::new());
        }
        let shown = history::stock_shown(&*self.log, tenant, &stock.location, &stock.sku, stock.version).await?;
        let short = shown.shortage().into_iter().take(MOST_SHORT);
        Ok(short
            .map(|it| ShortBody { reservation_id: it.reservation_id, order_id: it.order_id, qty: it.qty })
            .collect())
    }

    /// The stock of a SKU at every location, and why some of it may be lacking.
    async fn of_sku(&self, tenant: &str, sku: &Sku) -> Result<(Answer<Vec<Standing>>, Option<Failure>), Failure> {
        let mut answer = stock_levels::by_sku(&self.reads(), tenant, sku).await?;
        if answer.value.is_empty() {
            self.surely(LEVELS, tenant, None, "SKU").await?;
            answer = stock_levels::by_sku(&self.reads(), tenant, sku).await?;
        }
        let mut lacks = None;
        if answer.held > 0 {
            let concerned = |held: &Held| stream::parse_stock(&held.stream.id).is_none_or(|(_, of)| of == *sku);
            lacks = self.held_among(LEVELS, tenant, concerned).await?;
        }
        answer.stale = answer.stopped || lacks.is_some();
        Ok((answer, lacks))
    }
}

/// A location's stock at its last movement before the moment, with the position of the answer; none if the ledger does
/// not reach that far. The cost does not depend on the length of the history.
async fn off_the_ledger(
    api: &Api,
    tenant: &str,
    stock: &Standing,
    at: At,
    until: Until,
) -> Result<Option<(Position, Option<StockLevelBody>)>, Failure> {
    let moment = match at {
        At::Version(version) => Ledger::Version(version),
        At::Now | At::Position(_) | At::Instant(_) => Ledger::Position(until.position),
    };
    let answer = match stock_ledger::at(&api.reads(), tenant, &stock.sku, &stock.location, moment).await {
        Err(projections::Error::Building(_)) => return Ok(None),
        answer => answer?,
    };
    // While any stream is held, the stream itself is folded: that shows whether it is this one.
    let whole = answer.held == 0 && !answer.stale;
    let shown = match (at, &answer.value) {
        (At::Version(wanted), Some(then)) => whole && then.version == wanted,
        (At::Version(_), None) => false,
        _ => whole && answer.position >= until.position,
    };
    if !shown {
        return Ok(None);
    }
    let position = match (at, &answer.value) {
        (At::Version(_), Some(then)) => then.changed_at_position,
        _ => until.position,
    };
    Ok(Some((position, answer.value.map(StockLevelBody::from))))
}

fn nowhere() -> stream::StreamName {
    stream::StreamName { category: stream::STOCK, id: String::new() }
}

/// Every movement of a SKU at a location, newest first.
#[utoipa::path(get, path = "/v1/stock/{sku}/ledger", tag = "stock",
    params(("sku" = String, Path),
        ("location" = Option<String>, Query, description = "The location; optional if there is only one"),
        ("before" = Option<u64>, Query, description = "Only movements before this version: the `next` of the page before"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200),
        ("min_position" = Option<u64>, Query, description = "Wait until the answer shows at least this position")),
    responses(
    (status = 200, description = "A page; `next` is the version before which the next page begins", body = Listing<MovementBody>),
    Malformed,
    Absent,
    Late,
))]
pub(super) async fn ledger(
    State(api): State<Api>,
    caller: Caller,
    Id(sku): Id<Sku>,
    mut params: Params,
) -> Result<Shown, Failure> {
    let location: Option<LocationId> = params.parsed("location", "a location")?;
    let (before, limit) = (params.position("before")?, params.limit(MOST)?);
    let min_position = params.min_position()?;
    params.end()?;
    let (reads, tenant) = (api.reads(), caller.tenant.as_str());
    let location = match location {
        Some(location) => location,
        None => {
            api.reach(LEVELS, min_position.clone()).await?;
            let (answer, lacks) = api.of_sku(tenant, &sku).await?;
            match lacks {
                Some(lacks) if answer.value.is_empty() => return Err(lacks),
                _ => only_location(answer.value)?,
            }
        }
    };
    let name = stream::stock(&location, &sku);
    api.reach_stream("stock_ledger", tenant, name, min_position).await?;
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let mut answer = stock_ledger::page(&reads, tenant, &sku, &location, before, wanted).await?;
    if answer.value.is_empty() && before.is_none() {
        api.surely("stock_ledger", tenant, Some(stream::stock(&location, &sku)), "SKU").await?;
        answer = stock_ledger::page(&reads, tenant, &sku, &location, before, wanted).await?;
        if answer.value.is_empty() {
            let concerned = |held: &Held| *held.stream.id == *stream::stock(&location, &sku).id;
            let lacks = api.held_among("stock_ledger", tenant, concerned).await?;
            return Err(lacks.unwrap_or_else(|| Failure::absent("SKU")));
        }
    }
    Shown::first::<_, MovementBody>(answer, limit, |last| last.version.to_string())
}

fn only_location(stock: Vec<Standing>) -> Result<LocationId, Failure> {
    let mut locations = stock.into_iter().map(|stock| stock.location);
    match (locations.next(), locations.next()) {
        (None, _) => Err(Failure::absent("SKU")),
        (Some(location), None) => Ok(location),
        (Some(_), Some(_)) => {
            Err(Failure::at("malformed-query", "location", "the SKU is kept at several locations: name one"))
        }
    }
}
