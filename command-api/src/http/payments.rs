//! Manual operations on payments: captures, voids, resolutions. These routes only record the request; the payment
//! worker calls the provider.

use axum::extract::State;
use axum::http::StatusCode;
use domain::ids::{CaptureId, PaymentId};
use domain::payment::{Command, Payment};
use domain::stream;
use schemas::http::payment::{CapturePayment, PaymentBody, ResolveOutcome, VoidPayment};

use super::Api;
use super::answer::{Answer, Place};
use super::describe::{CommandHeaders, CommandQuery, answers};
use super::extract::{Ask, How, Id};
use super::problem::Failure;
use crate::claims::Known;
use crate::payments;

answers! {
    CaptureAnswers: [202] "PaymentBody", [
        "authorisation-expired", "on-hold", "order-state", "exceeds-authorised", "gateway-cannot", "intent-changed", "invalid-amount", "payment-state",
        "payment-unknown", "too-many",
    ];
    VoidAnswers: [202] "PaymentBody", [];
    ResolveAnswers: [200] "PaymentBody", [
        "amount-mismatch", "evidence-missing", "never-asked", "outcome-settled", "payment-state",
        "provider-ref-missing",
    ];
}

/// Take money that is held.
#[utoipa::path(post, path = "/v1/payments/{id}/captures", tag = "payments", request_body = CapturePayment,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(CaptureAnswers))]
pub(super) async fn capture(
    State(api): State<Api>,
    Id(payment_id): Id<PaymentId>,
    ask: Ask<CapturePayment>,
) -> Result<Answer, Failure> {
    let found = api.load_payment(&ask.how, payment_id).await?;
    let currency = match &found {
        Payment::Requested(payment) => payment.currency,
        Payment::Absent => ask.body.amount.currency,
    };
    let command = ask.body.try_into_command(ask.how.names(), currency)?;
    api.payment(&ask.how, payment_id, &found, command, StatusCode::ACCEPTED).await
}

/// Void the authorised amount that is not captured, except for the part to keep.
#[utoipa::path(post, path = "/v1/payments/{id}/voids", tag = "payments", request_body = VoidPayment,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(VoidAnswers))]
pub(super) async fn void(
    State(api): State<Api>,
    Id(payment_id): Id<PaymentId>,
    ask: Ask<VoidPayment>,
) -> Result<Answer, Failure> {
    let found = api.load_payment(&ask.how, payment_id).await?;
    let command = match &found {
        Payment::Requested(payment) => ask.body.try_into_command(payment.currency)?,
        // A saga that compensates may void a payment that does not exist. For a caller it is an error to name an
        // unknown payment: a capture of nothing records the refusal, and can never take effect.
        Payment::Absent => Command::Capture { capture_id: CaptureId(ask.how.command_id), amount: 0 },
    };
    api.payment(&ask.how, payment_id, &found, command, StatusCode::ACCEPTED).await
}

/// Record the outcome of a request that the provider did not report.
#[utoipa::path(post, path = "/v1/payments/{id}/resolutions", tag = "payments", request_body = ResolveOutcome,
    params(("id" = uuid::Uuid, Path), CommandHeaders, CommandQuery), responses(ResolveAnswers))]
pub(super) async fn resolve(
    State(api): State<Api>,
    Id(payment_id): Id<PaymentId>,
    ask: Ask<ResolveOutcome>,
) -> Result<Answer, Failure> {
    let command = Command::try_from(ask.body)?;
    let found = api.load_payment(&ask.how, payment_id).await?;
    api.payment(&ask.how, payment_id, &found, command, StatusCode::OK).await
}

impl Api {
    async fn load_payment(&self, how: &How, payment_id: PaymentId) -> Result<Payment, Failure> {
        let name = stream::payment(payment_id);
        let loaded = self.executor().load::<Payment>(&how.caller.tenant, &name).await;
        let (payment, _) = loaded.map_err(|error| Failure::unanswered(&error, how.request_id.as_deref()))?;
        Ok((*payment).clone())
    }

    /// Runs a command to a payment and answers with the payment. `found` says which order the work belongs to.
    async fn payment(
        &self,
        how: &How,
        payment_id: PaymentId,
        found: &Payment,
        command: Command,
        status: StatusCode,
    ) -> Result<Answer, Failure> {
        let name = stream::payment(payment_id);
        let correlation = match found {
            Payment::Requested(payment) => payment.order_id.0,
            Payment::Absent => payment_id.0,
        };
        let (executor, tenant) = (self.executor(), &how.caller.tenant);
        let plan = |again| payments::by_hand(Known { executor, tenant, again }, payment_id, &command);
        let answer = executor.execute_planned(how.envelope(&name, correlation), plan).await;
        let done = self.done(how, &name, answer).await?;
        if how.dry_run {
            return self.dry_run(how, &done);
        }
        match done.state::<Payment>(&name).as_deref() {
            Some(Payment::Requested(payment)) => {
                let version = done.version(&name).unwrap_or(0);
                let mut place = Place::of(&done, &name);
                place.location = Some(format!("/v1/payments/{payment_id}"));
                self.answer(how, status, &PaymentBody::new(payment, version), place)
            }
            _ => Err(Failure::internal(how.request_id.as_deref(), &"the answer lacks its payment")),
        }
    }
}
