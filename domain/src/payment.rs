//! A payment: money held, taken and given back at a provider, with outcomes that may be unknown. It never calls the provider.

pub mod abilities;
pub mod command;
mod decide;
pub mod event;
mod evolve;
mod outcome;
#[cfg(test)]
mod properties;
pub mod refusal;
pub mod state;
#[cfg(test)]
mod tests;

pub use command::Command;
pub use event::Event;
pub use refusal::Refusal;
pub use state::Payment;

use crate::aggregate::Aggregate;

impl Aggregate for Payment {
    const CATEGORY: &'static str = crate::stream::PAYMENT;
    const FOLD: u32 = 3;
    type Command = Command;
    type Event = Event;
    type Refusal = Refusal;

    fn begins(command: &Command) -> bool {
        matches!(command, Command::RequestAuthorisation { attempt: 1, .. })
    }

    fn decide(&self, command: &Command) -> Result<Vec<Event>, Refusal> {
        match self {
            Self::Absent => decide::absent(command),
            Self::Requested(payment) => match command {
                Command::RequestAuthorisation { payment_id, order_id, amount, instrument, attempt } => {
                    decide::authorise(
                        payment,
                        &event::AuthorisationRequested {
                            payment_id: *payment_id,
                            order_id: *order_id,
                            amount: *amount,
                            instrument: instrument.clone(),
                            attempt: *attempt,
                        },
                    )
                }
                Command::Capture { capture_id, amount } => {
                    decide::capture(payment, *capture_id, *amount, decide::By::Process)
                }
                Command::CaptureUpTo { capture_id, most } => decide::capture_up_to(payment, *capture_id, *most),
                Command::CaptureByHand { capture_id, amount } => {
                    decide::capture(payment, *capture_id, *amount, decide::By::Hand)
                }
                Command::Raise { raise_id, amount } => decide::raise(payment, *raise_id, *amount),
                Command::Void { keep } => decide::void(payment, *keep),
                Command::Refund { refund_id, amount, reason } => decide::refund(payment, *refund_id, *amount, reason),
                Command::RecordOutcome(told) => outcome::record(payment, told),
                Command::ResolveOutcome { verb, verdict, evidence, provider_ref, try_again } => {
                    let provider_ref = provider_ref.as_deref();
                    let last = !try_again;
                    let said = outcome::Said { verdict: *verdict, evidence, provider_ref, last };
                    outcome::resolve(payment, *verb, &said)
                }
                Command::NoteEnding { now, lead_s, then } => {
                    decide::ending(payment, *now, decide::Near { lead_s: *lead_s, then: *then })
                }
                Command::ExpireAuthorisation { now, lead_s, then } => {
                    decide::expire(payment, *now, decide::Near { lead_s: *lead_s, then: *then })
                }
            },
        }
    }

    fn evolve(&mut self, event: &Event) {
        evolve::evolve(self, event);
    }
}
