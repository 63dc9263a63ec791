//! Plans of commands to payments. A command that moves an order's money is decided together with the order, in one batch: a hold stops
//! every capture, of sagas and of callers, and the order stops counting on an amount that is voided manually.

use domain::ids::{OrderId, PaymentId};
use domain::order::{self, Order};
use domain::payment::{Command, Payment};
use domain::stream;

use crate::claims::Known;
use crate::execute::{Error, Plan};

/// The plan of a caller's command to a payment; the payment's state comes with the answer.
///
/// # Errors
/// If what it is made of cannot be read.
pub(crate) async fn by_hand(known: Known<'_>, payment_id: PaymentId, command: &Command) -> Result<Plan, Error> {
    let name = stream::payment(payment_id);
    let plan = Plan::new().and::<Payment>(name.clone(), command.clone());
    match command {
        Command::CaptureByHand { .. } => {
            let (payment, _) = known.executor.load::<Payment>(known.tenant, &name).await?;
            Ok(match payment.requested() {
                Some(payment) => cleared(plan, payment.order_id),
                None => plan,
            })
        }
        Command::Void { keep } => {
            let (payment, version) = known.executor.load::<Payment>(known.tenant, &name).await?;
            let Some(payment) = payment.requested() else {
                return Ok(plan);
            };
            let release = order::Command::ReleasePayment { payment_id, keep: *keep, payment_version: version };
            Ok(plan.made_at::<Payment>(name, version).and_unseen::<Order>(stream::order(payment.order_id), release))
        }
        _ => Ok(plan),
    }
}

/// The plan of a capture that a process asks for.
pub(crate) fn capture(order_id: OrderId, payment_id: PaymentId, command: Command) -> Plan {
    cleared(Plan::new().and_unseen::<Payment>(stream::payment(payment_id), command), order_id)
}

/// The plan, refused where the order does not let money be taken.
fn cleared(plan: Plan, order_id: OrderId) -> Plan {
    plan.and_unseen::<Order>(stream::order(order_id), order::Command::ClearCapture)
}
