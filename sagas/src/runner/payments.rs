//! Payments from the log, folded as their events arrive: a saga that observes a payment gets its current state. A
//! bounded number is cached; others are folded from their streams.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use domain::ids::{PaymentId, Tenant};
use domain::payment::Payment;
use domain::saga::{PaymentSeen, Recorded};
use domain::{Aggregate, Event, stream};
use event_store::EventStore;
use event_store::record::Version;

use crate::log::{fold, stream_id};

pub(super) struct Payments {
    most: usize,
    known: HashMap<(Tenant, PaymentId), (Version, Arc<Payment>)>,
    order: VecDeque<(Tenant, PaymentId)>,
}

impl Payments {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashMap::new(), order: VecDeque::new() }
    }

    /// The payment that these events happened to, right after them.
    ///
    /// # Errors
    /// If the store fails, or a record of the payment cannot be read.
    pub(super) async fn after(
        &mut self,
        store: &dyn EventStore,
        tenant: &Tenant,
        events: &[Recorded],
    ) -> Result<Option<PaymentSeen>, streams::Error> {
        let payments = || {
            events.iter().filter_map(|recorded| match &recorded.event {
                Event::Payment(event) => Some((recorded, event)),
                _ => None,
            })
        };
        let (Some((first, _)), Some((last, _))) = (payments().next(), payments().next_back()) else {
            return Ok(None);
        };
        let Ok(payment_id) = first.stream.parse::<PaymentId>() else {
            return Ok(None);
        };
        let key = (tenant.clone(), payment_id);
        let before = match self.known.get(&key) {
            Some((version, payment)) if version + 1 == first.version => Some(payment.clone()),
            None if first.version == 1 => Some(Arc::default()),
            _ => None,
        };
        let payment = match before {
            Some(mut payment) => {
                let state = Arc::make_mut(&mut payment);
                for (_, event) in payments() {
                    state.evolve(event);
                }
                payment
            }
            None => {
                let stream = stream_id(tenant, &stream::payment(payment_id));
                Arc::new(fold::<Payment>(store, &stream, last.version).await?)
            }
        };
        let version = last.version;
        self.keep(key, version, payment.clone());
        Ok(Some(PaymentSeen { payment_id, version, payment }))
    }

    fn keep(&mut self, key: (Tenant, PaymentId), version: Version, payment: Arc<Payment>) {
        if self.known.insert(key.clone(), (version, payment)).is_none() {
            self.order.push_back(key);
        }
        while self.known.len() > self.most {
            match self.order.pop_front() {
                Some(oldest) => drop(self.known.remove(&oldest)),
                None => return,
            }
        }
    }
}
