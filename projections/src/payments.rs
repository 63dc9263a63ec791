//! Payments, one row each: what lists show, and the payment as its events fold to.

use domain::ids::{OrderId, PaymentId, Tenant};
use domain::payment::Payment;
use domain::payment::state::Requested;
use domain::time::Timestamp;
use domain::{Aggregate, stream};
use event_store::record::{Micros, Position, StreamId, Version};

use crate::models::word;
use crate::projection::{Projection, Rows, Shown};
use crate::reads::{Answer, Reads};
use crate::store::{Error, Statement};
use crate::value::{Row, Shape, Spec, Spread, Table, index, int, text};

/// The read model.
#[derive(Debug)]
pub struct Payments;

static TABLE: Table = Table {
    name: "payment",
    shape: Shape::Rows,
    columns: &[
        text("tenant"),
        text("payment_id"),
        text("order_id"),
        text("stage"),
        text("currency"),
        int("requested"),
        int("authorised"),
        int("captured"),
        int("refunded"),
        int("voided"),
        int("unknown"),
        int("capture_before").or_null(),
        int("ending"),
        int("version"),
        int("position"),
        int("first_at"),
        int("updated_at"),
        text("document"),
    ],
    key: 2,
    indexes: &[
        index("by_order", "tenant, order_id, payment_id"),
        index("by_stage", "tenant, stage, updated_at, payment_id"),
        // Of those alone that hold something: a payment leaves them when it is taken.
        index("near", "capture_before, tenant, payment_id").only("ending = 1"),
        index("there", "capture_before, tenant, payment_id").only("ending = 2"),
    ],
};

/// The name of the model.
pub const NAME: &str = "payments";

static SPEC: Spec = Spec { name: NAME, version: 2_000 + Payment::FOLD, spread: Spread::ByStream, tables: &[&TABLE] };

const BY_ID: &str = "
SELECT version, position, first_at, updated_at, document FROM payment WHERE tenant = $1 AND payment_id = $2";

const BY_ORDER: &str = "
SELECT version, position, first_at, updated_at, document FROM payment WHERE tenant = $1 AND order_id = $2 ORDER BY payment_id";

macro_rules! ends {
    ($ending:literal) => {
        concat!(
            "SELECT tenant, payment_id, order_id, capture_before, version FROM payment WHERE ending = ",
            $ending,
            " AND capture_before <= $1 AND (capture_before, tenant, payment_id) > ($2, $3, $4) \
             ORDER BY capture_before, tenant, payment_id LIMIT $5"
        )
    };
}

/// Which ends of authorisations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those of which nobody has put on record that they are near.
    Near,
    /// The others, of payments of which nothing that moves held money is at the provider.
    There,
}

impl Which {
    fn query(self) -> &'static str {
        match self {
            Self::Near => ends!("1"),
            Self::There => ends!("2"),
        }
    }
}

/// The end of what a payment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Whose payment it is.
    pub tenant: Tenant,
    /// The payment.
    pub payment_id: PaymentId,
    /// The order that it is for.
    pub order_id: OrderId,
    /// When it is.
    pub capture_before: Timestamp,
    /// The version of the payment's stream that says so.
    pub version: Version,
}

/// A payment and where its stream stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The payment.
    pub payment: Payment,
    /// Its stream's version.
    pub version: Version,
    /// The position of the event that has that version.
    pub changed_at_position: Position,
    /// When its first event was recorded.
    pub first_at: Micros,
    /// When its last event was recorded.
    pub last_at: Micros,
}

impl Projection for Payments {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn wants(&self, category: &str) -> bool {
        category == stream::PAYMENT
    }

    fn replaces(&self) -> bool {
        true
    }

    fn payment(&self, payment: &Shown<Payment>, rows: &mut Rows) {
        let Payment::Requested(state) = &payment.state else {
            return;
        };
        rows.put(
            &TABLE,
            vec![
                (&*payment.tenant).into(),
                (&*payment.id).into(),
                state.order_id.to_string().into(),
                word(&state.stage).into(),
                state.currency.code().into(),
                state.requested.into(),
                state.authorised.into(),
                state.captured.into(),
                state.refunded.into(),
                state.voided.into(),
                state.live.iter().any(|live| live.unknown).into(),
                state.capture_before.map(Timestamp::micros).into(),
                ending(state).into(),
                payment.version.into(),
                payment.position.into(),
                payment.first_at.into(),
                payment.last_at.into(),
                serde_json::to_string(&payment.state).unwrap_or_default().into(),
            ],
        );
    }
}

/// The payment of an id, if there is one.
///
/// # Errors
/// If the rows cannot be read.
pub async fn by_id(reads: &Reads, tenant: &str, id: PaymentId) -> Result<Answer<Option<Detail>>, Error> {
    let statement = Statement::new(BY_ID, vec![tenant.into(), id.to_string().into()]);
    let name = stream::payment(id);
    let stream = StreamId::new(tenant, name.category, name.id);
    reads.rows_of(SPEC.name, &stream, statement).await?.try_map(|rows| rows.first().map(detail).transpose())
}

/// The payments of an order.
///
/// # Errors
/// If the rows cannot be read.
pub async fn by_order(reads: &Reads, tenant: &str, id: OrderId) -> Result<Answer<Vec<Detail>>, Error> {
    let statement = Statement::new(BY_ORDER, vec![tenant.into(), id.to_string().into()]);
    reads.rows(SPEC.name, statement).await?.try_map(|rows| rows.iter().map(detail).collect())
}

/// The ends of authorisations of all tenants up to an instant, the earliest first; `after` which one, if not from the first.
///
/// # Errors
/// If the rows cannot be read.
pub async fn ends(
    reads: &Reads,
    which: Which,
    until: Micros,
    after: Option<&End>,
    limit: u32,
) -> Result<Answer<Vec<End>>, Error> {
    let (at, tenant, id) = after.map_or((i64::MIN, "", String::new()), |after| {
        (after.capture_before.micros(), after.tenant.as_str(), after.payment_id.to_string())
    });
    let values = vec![until.into(), at.into(), tenant.into(), id.into(), limit.into()];
    let statement = Statement::new(which.query(), values);
    reads.rows(SPEC.name, statement).await?.try_map(|rows| rows.iter().map(end).collect())
}

/// What there is to do about the end of what it holds: 1, to put on record that it is near; 2, that it is there; 0, nothing.
fn ending(payment: &Requested) -> i64 {
    match payment.capture_before.filter(|_| payment.held() > 0) {
        None => 0,
        end if payment.ending_noted != end => 1,
        // What comes of a request at the provider says first what is left.
        Some(_) if payment.moving_held().is_some() => 0,
        Some(_) => 2,
    }
}

fn end(row: &Row) -> Result<End, Error> {
    Ok(End {
        tenant: row.parsed(0)?,
        payment_id: row.parsed(1)?,
        order_id: row.parsed(2)?,
        capture_before: Timestamp::from_micros(row.int(3)?),
        version: row.count(4)?,
    })
}

fn detail(row: &Row) -> Result<Detail, Error> {
    Ok(Detail {
        version: row.count(0)?,
        changed_at_position: row.count(1)?,
        first_at: row.int(2)?,
        last_at: row.int(3)?,
        payment: row.json(4)?,
    })
}
