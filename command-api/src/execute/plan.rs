//! The steps of a command, by stream. A plan is one batch: all of it takes effect, or nothing does.

use std::fmt;

use bytes::Bytes;
use domain::stream::StreamName;
use domain::{Aggregate, Event, Refusal as _};
use schemas::{Encoded, Stored, StoredEvent};
use uuid::Uuid;

use super::done::Refused;
use super::error::Error;
use super::fold::{Fold, Type, state, state_mut};

/// The steps of a command, each stream once. The ids that it creates come from the request or do not matter to an equal
/// request: a repetition is answered with the streams of the first one, whatever its own plan names.
#[derive(Default)]
pub struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) wrong: Option<String>,
}

impl Plan {
    /// Asks nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a step for an aggregate; the answer contains its state.
    #[must_use]
    pub fn and<A: Stored>(self, stream: StreamName, command: A::Command) -> Self {
        self.with::<A>(stream, command, true)
    }

    /// Adds a step for an aggregate whose state the caller does not need.
    #[must_use]
    pub fn and_unseen<A: Stored>(self, stream: StreamName, command: A::Command) -> Self {
        self.with::<A>(stream, command, false)
    }

    fn with<A: Stored>(mut self, stream: StreamName, command: A::Command, shown: bool) -> Self {
        if stream.category != A::CATEGORY {
            self.wrong = Some(format!(
                "{} is asked what only a stream of category {} understands",
                stream.category,
                A::CATEGORY
            ));
        }
        let begins = A::begins(&command);
        let (of, ask) = (Type::of::<A>(), Box::new(Asked::<A>(command)));
        self.steps.push(Step { stream, of, shown, begins, made_at: None, ask });
        self
    }

    /// Declares that the plan depends on the state of a stream at a version, 0 if the stream did not exist. If the
    /// stream has changed, nothing is decided ([`Error::Outdated`]). A stream without a step is also checked: it must
    /// not change before the batch is written.
    #[must_use]
    pub fn made_at<A: Stored>(mut self, stream: StreamName, version: u64) -> Self {
        match self.steps.iter_mut().find(|step| step.stream == stream) {
            Some(step) => step.made_at = Some(version),
            None => {
                let (of, ask) = (Type::of::<A>(), Box::new(Unasked));
                self.steps.push(Step { stream, of, shown: false, begins: false, made_at: Some(version), ask });
            }
        }
        self
    }

    /// How a category's streams are folded and whether their states are shown, as this plan sees it.
    pub(super) fn of(&self, category: &str) -> Option<(Type, bool)> {
        let mut steps = self.steps.iter().filter(|step| step.of.category == category);
        let first = steps.next()?;
        Some((first.of, first.shown || steps.any(|step| step.shown)))
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|step| (&step.stream, &step.ask))).finish()
    }
}

/// The step for one stream.
pub(super) struct Step {
    pub(super) stream: StreamName,
    pub(super) of: Type,
    pub(super) shown: bool,
    /// Whether the stream begins with it, unless it was given before.
    pub(super) begins: bool,
    /// The version of the stream that the plan was made of, if it was.
    pub(super) made_at: Option<u64>,
    pub(super) ask: Box<dyn Ask>,
}

/// A command to an aggregate of any type.
pub(super) trait Ask: Send + Sync + fmt::Debug {
    fn decide(&self, state: &dyn Fold) -> Result<Answer, Error>;
}

/// What an aggregate answers.
pub(super) enum Answer {
    /// This happens.
    Facts(Box<dyn Facts>),
    /// It is already so.
    Nothing,
    /// No.
    Refused(Refused),
}

/// Events of an aggregate of any type.
pub(super) trait Facts: Send + Sync {
    /// Their stored form, and what each belongs to if not to the command's correlation.
    fn stored(&self) -> Result<Vec<(Encoded, Option<Uuid>)>, Error>;

    /// Moves a state past them.
    fn fold(&self, state: &mut dyn Fold);

    /// The same as events of any aggregate, in order.
    fn events(&self) -> Vec<Event>;
}

struct Asked<A: Aggregate>(A::Command);

impl<A: Aggregate> fmt::Debug for Asked<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<A: Stored> Ask for Asked<A> {
    fn decide(&self, fold: &dyn Fold) -> Result<Answer, Error> {
        let state: &A = state(fold)
            .ok_or_else(|| Error::Plan(format!("streams of category {} are folded as another type", A::CATEGORY)))?;
        match state.decide(&self.0) {
            Ok(events) if events.is_empty() => Ok(Answer::Nothing),
            Ok(events) => Ok(Answer::Facts(Box::new(Happened::<A>(events)))),
            Err(refusal) => {
                Ok(Answer::Refused(Refused::new(refusal.class(), refusal.code(), refusal.to_string(), &refusal)))
            }
        }
    }
}

/// Nothing is asked.
#[derive(Debug)]
struct Unasked;

impl Ask for Unasked {
    fn decide(&self, _: &dyn Fold) -> Result<Answer, Error> {
        Ok(Answer::Nothing)
    }
}

struct Happened<A: Aggregate>(Vec<A::Event>);

impl<A: Stored> Facts for Happened<A> {
    fn stored(&self) -> Result<Vec<(Encoded, Option<Uuid>)>, Error> {
        self.0
            .iter()
            .map(|event| {
                let encoded = event.encode().map_err(|error| Error::Plan(error.to_string()))?;
                Ok((encoded, event.correlation()))
            })
            .collect()
    }

    fn fold(&self, fold: &mut dyn Fold) {
        if let Some(state) = state_mut::<A>(fold) {
            for event in &self.0 {
                state.evolve(event);
            }
        }
    }

    fn events(&self) -> Vec<Event> {
        self.0.iter().map(StoredEvent::event).collect()
    }
}

/// An event that a dry run would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The stream.
    pub stream: StreamName,
    /// The version that it would have.
    pub version: u64,
    /// The stored type name.
    pub kind: std::sync::Arc<str>,
    /// The version of that type's schema.
    pub schema_version: u32,
    /// The payload, JSON.
    pub data: Bytes,
}
