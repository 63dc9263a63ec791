//! Payments, one row each: what lists show, and the payment as its events fold to.

use domain::ids::{OrderId, PaymentId};
use domain::payment::Payment;
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
    ],
};

static SPEC: Spec =
    Spec { name: "payments", version: 1_000 + Payment::FOLD, spread: Spread::ByStream, tables: &[&TABLE] };

const BY_ID: &str = "
SELECT version, position, first_at, updated_at, document FROM payment WHERE tenant = $1 AND payment_id = $2";

const BY_ORDER: &str = "
SELECT version, position, first_at, updated_at, document FROM payment WHERE tenant = $1 AND order_id = $2 ORDER BY payment_id";

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
                state.capture_before.map(domain::time::Timestamp::micros).into(),
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

fn detail(row: &Row) -> Result<Detail, Error> {
    Ok(Detail {
        version: row.count(0)?,
        changed_at_position: row.count(1)?,
        first_at: row.int(2)?,
        last_at: row.int(3)?,
        payment: row.json(4)?,
    })
}
