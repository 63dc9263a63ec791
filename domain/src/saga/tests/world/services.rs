//! The services and the provider of the world: commands are decided by the real aggregates, all of a command or nothing of it.

use super::*;

impl World {
    /// Carries out one command: all of it or nothing. The same id again: nothing.
    pub(super) fn execute(&mut self, id: Uuid, command: &Command) -> Result<(), String> {
        if !self.answered.insert(id) {
            return Ok(());
        }
        let decided = self.decide(command);
        let (events, result) = match decided {
            Err((class, code, details)) => {
                let verdict = Verdict::Refused { class, message: code.clone(), code: code.clone(), details };
                (vec![settled(id, verdict)], Err(code))
            }
            Ok(events) if events.is_empty() => (vec![settled(id, Verdict::NothingToDo)], Ok(())),
            Ok(events) => (events, Ok(())),
        };
        self.record(id, events);
        result
    }

    #[expect(clippy::type_complexity, reason = "a refusal in parts")]
    fn decide(
        &self,
        command: &Command,
    ) -> Result<Vec<(StreamName, Event)>, (crate::Class, String, serde_json::Map<String, serde_json::Value>)> {
        fn ask<A: Aggregate>(
            state: Option<&A>,
            stream: StreamName,
            command: &A::Command,
            wrap: fn(A::Event) -> Event,
        ) -> Result<Vec<(StreamName, Event)>, (crate::Class, String, serde_json::Map<String, serde_json::Value>)>
        {
            let nothing = A::default();
            match state.unwrap_or(&nothing).decide(command) {
                Ok(events) => Ok(events.into_iter().map(|it| (stream.clone(), wrap(it))).collect()),
                Err(refusal) => {
                    let details = match serde_json::to_value(&refusal) {
                        Ok(serde_json::Value::Object(details)) => details,
                        _ => Default::default(),
                    };
                    Err((refusal.class(), refusal.code().to_owned(), details))
                }
            }
        }
        match command {
            Command::Order { order_id, command } => {
                let mut events = ask(self.orders.get(order_id), stream::order(*order_id), command, Event::Order)?;
                if let order::Command::Place(place) = command
                    && let Some(basket) = &place.basket
                {
                    let (id, close) = (basket.reservation_id, crate::order::Basket::close(*order_id));
                    let known = self.reservations.get(&id);
                    events.extend(ask(known, stream::reservation(id), &close, Event::Reservation)?);
                }
                Ok(events)
            }
            Command::Payment { payment_id, command } => {
                ask(self.payments.get(payment_id), stream::payment(*payment_id), command, Event::Payment)
            }
            Command::Capture { order_id, payment_id, command } => {
                let clear = order::Command::ClearCapture;
                ask(self.orders.get(order_id), stream::order(*order_id), &clear, Event::Order)?;
                ask(self.payments.get(payment_id), stream::payment(*payment_id), command, Event::Payment)
            }
            Command::Inventory { reservation, stock } => {
                let mut events = Vec::new();
                if let Some((id, command)) = reservation {
                    let state = self.reservations.get(id);
                    let name = stream::reservation(*id);
                    events.extend(ask(state, name, command, Event::Reservation)?);
                }
                for part in stock {
                    let name = stream::stock(&part.location, &part.sku);
                    let state = self.stocks.get(&name.id);
                    events.extend(ask(state, name, &part.command, Event::Stock)?);
                }
                Ok(events)
            }
        }
    }

    fn record(&mut self, command_id: Uuid, events: Vec<(StreamName, Event)>) {
        self.now = Timestamp::from_micros(self.now.micros() + 1);
        let mut logged = Logged {
            batch: Batch { command_id, ..Batch::default() },
            event_ids: Vec::new(),
            at: self.now,
            orders: Vec::new(),
        };
        for (name, event) in events {
            let version = self.versions.entry(name.clone()).or_insert(0);
            *version += 1;
            let version = *version;
            self.fold(&name, &event);
            if let Event::Payment(event) = &event {
                let payment_id: PaymentId = name.id.parse().unwrap();
                self.ask_provider(payment_id, event);
                logged.batch.payment =
                    Some(PaymentSeen { payment_id, version, payment: Arc::new(self.payments[&payment_id].clone()) });
            }
            let order = name.id.parse().ok().map(OrderId);
            logged.orders.push(order.and_then(|id| self.orders.get(&id).cloned()));
            logged.event_ids.push(derived(Uuid::nil(), &format!("{name:?}/{version}")));
            let recorded = Recorded { stream: name.id.as_str().into(), version, event };
            if matches!(recorded.event, Event::Order(_)) {
                self.history.entry(name).or_default().push(recorded.clone());
            }
            logged.batch.events.push(recorded);
        }
        self.check_each();
        self.log.push_back(logged);
    }

    fn fold(&mut self, name: &StreamName, event: &Event) {
        match event {
            Event::Order(event) => {
                let id = OrderId(name.id.parse().unwrap());
                self.orders.entry(id).or_default().evolve(event);
            }
            Event::Payment(event) => {
                let id = PaymentId(name.id.parse().unwrap());
                self.payments.entry(id).or_default().evolve(event);
            }
            Event::Stock(event) => {
                self.stocks.entry(name.id.clone()).or_default().evolve(event);
                let place = stream::parse_stock(&name.id).unwrap();
                for (owner, units) in crossing::moved(event) {
                    *self.holdings.entry(owner).or_default().entry(place.clone()).or_default() += units;
                }
            }
            Event::Reservation(event) => {
                let id = ReservationId(name.id.parse().unwrap());
                self.reservations.entry(id).or_default().evolve(event);
            }
            _ => {}
        }
    }

    /// What the provider does with a request: the instrument says.
    fn ask_provider(&mut self, payment_id: PaymentId, event: &payment::Event) {
        use payment::Event as E;
        let (verb, attempt, amount) = match event {
            E::AuthorisationRequested(it) => (Verb::Authorise, it.attempt, it.amount.amount),
            E::CaptureRequested(it) => (Verb::Capture { capture_id: it.capture_id }, it.attempt, it.amount),
            E::RaiseRequested(it) => (Verb::Raise { raise_id: it.raise_id }, it.attempt, it.amount),
            E::VoidRequested(it) => (Verb::Void, it.attempt, it.amount),
            E::RefundRequested(it) => (Verb::Refund { refund_id: it.refund_id }, it.attempt, it.amount),
            _ => return,
        };
        let instrument = &self.payments[&payment_id].requested().unwrap().instrument;
        let word = match verb {
            Verb::Authorise => "authorise",
            Verb::Capture { .. } => "capture",
            Verb::Void => "void",
            Verb::Raise { .. } => "raise",
            Verb::Refund { .. } => "refund",
        };
        let script = instrument.token().split(',').find_map(|part| part.strip_prefix(word)?.strip_prefix('-'));
        let done = Outcome::Done {
            provider_ref: format!("{word}-{attempt}"),
            amount,
            capture_before: None,
            fee: None,
            abilities: None,
        };
        let not_done = Outcome::NotDone { code: "declined".into() };
        let unknown = Outcome::Unknown { detail: "silence".into() };
        let answers = match script.unwrap_or("done") {
            "declines" => vec![(0, not_done)],
            "late" => vec![(30, done)],
            "slow" => vec![(1_000, done)],
            "unknown-done" => vec![(1, unknown), (400, done)],
            "unknown-declines" => vec![(1, unknown), (400, not_done)],
            "fails-twice" if attempt <= 2 => vec![(0, not_done)],
            "never" => vec![(1, unknown)],
            _ => vec![(0, done)],
        };
        for (after, outcome) in answers {
            let told = RecordOutcome { verb, attempt, outcome, evidence: None };
            let at = self.now.plus_seconds(after);
            self.provider.push_back((at, payment_id, told));
        }
    }

    fn check_each(&self) {
        for order in self.orders.values() {
            laws::order::check(order).unwrap();
        }
        for payment in self.payments.values() {
            laws::payment::check(payment).unwrap();
        }
        for stock in self.stocks.values() {
            laws::Watched::of(stock.clone()).end().unwrap();
        }
    }
}

fn settled(id: Uuid, verdict: Verdict) -> (StreamName, Event) {
    let settled = Settled { verdict, rests_on: Vec::new() };
    (stream::outcome(id), Event::Outcome(outcome::Event::Settled(settled)))
}
