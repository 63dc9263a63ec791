//! Given, when, then: tests of an aggregate's rules. Never built into the product.

use crate::Aggregate;

/// Whether a command names what it makes, so that it never takes effect twice.
pub(crate) trait Named {
    /// Whether it does.
    fn names_what_it_makes(&self) -> bool;
}

/// An aggregate with a history.
pub(crate) struct Given<A>(A);

/// An aggregate that is asked for something.
#[must_use]
pub(crate) struct When<A: Aggregate> {
    state: A,
    command: A::Command,
}

/// What these events lead to.
pub(crate) fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    Given(A::default()).and(events)
}

impl<A: Aggregate> Given<A> {
    /// And these events happened after that.
    pub(crate) fn and(mut self, events: impl IntoIterator<Item = A::Event>) -> Self {
        for event in events {
            self.0.evolve(&event);
        }
        self
    }

    /// And these commands were carried out; each has to be accepted.
    #[track_caller]
    pub(crate) fn after(mut self, commands: impl IntoIterator<Item = A::Command>) -> Self {
        for command in commands {
            match self.0.decide(&command) {
                Ok(events) => self = self.and(events),
                Err(refusal) => panic!("{command:?} is refused: {refusal} ({refusal:?})"),
            }
        }
        self
    }

    /// Asks for something.
    pub(crate) fn when(self, command: A::Command) -> When<A> {
        When { state: self.0, command }
    }

    /// The state itself, to look at.
    pub(crate) fn peek(&self) -> &A {
        &self.0
    }
}

impl<A: Aggregate<Command: Named>> When<A> {
    /// Exactly these events happen; where the command names what it makes, it is decided again and nothing more may happen.
    #[track_caller]
    pub(crate) fn then(self, expected: impl IntoIterator<Item = A::Event>) -> Given<A> {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(self.decided(), expected);
        self.carried_out(expected)
    }

    /// Something happens, which the test looks at itself; decided again as in [`When::then`].
    #[track_caller]
    pub(crate) fn then_with(self, look: impl FnOnce(&[A::Event])) -> Given<A> {
        let events = self.decided();
        look(&events);
        self.carried_out(events)
    }

    /// It is already so.
    #[track_caller]
    pub(crate) fn then_nothing(self) -> Given<A> {
        self.then([])
    }

    /// It is refused, for exactly this reason; the reason survives being written down.
    #[track_caller]
    pub(crate) fn then_refused(self, expected: A::Refusal) -> Given<A> {
        use crate::Refusal as _;
        assert_eq!(self.state.decide(&self.command), Err(expected.clone()));
        let written = serde_json::to_value(&expected).expect("a refusal can be written");
        assert_eq!(
            written.get("code").and_then(|c| c.as_str()),
            Some(expected.code()),
            "the code as written is the code as told"
        );
        let read: A::Refusal = serde_json::from_value(written).expect("a refusal can be read");
        assert_eq!(read, expected);
        assert!(!expected.to_string().is_empty());
        Given(self.state)
    }

    #[track_caller]
    fn decided(&self) -> Vec<A::Event> {
        match self.state.decide(&self.command) {
            Ok(events) => events,
            Err(refusal) => panic!("refused: {refusal} ({refusal:?})"),
        }
    }

    #[track_caller]
    fn carried_out(self, events: Vec<A::Event>) -> Given<A> {
        let after = Given(self.state).and(events);
        if self.command.names_what_it_makes() {
            assert_eq!(
                after.0.decide(&self.command),
                Ok(Vec::new()),
                "a command that names what it makes adds nothing the second time"
            );
        }
        after
    }
}
