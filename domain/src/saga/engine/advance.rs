//! What can be asked for now: forwards as far as the order of the steps allows, back in reverse order and only what ran; what frees goods waits for nothing.

use super::draft::{Draft, find};
use crate::saga::event::{Direction, Ended, Fact};
use crate::saga::state::{Progress, State};
use crate::saga::step::{Step, When};

impl Draft<'_> {
    /// Asks for every step that is possible now, and ends a finished saga.
    pub(super) fn advance(&mut self) {
        if self.state.about.is_none() || self.state.ended.is_some() {
            return;
        }
        if self.state.parked.is_some() {
            // It waits for a person; goods do not.
            if self.state.unwinding.is_some() {
                self.free_at_once();
            }
            return;
        }
        let steps = self.process.steps(&self.state);
        match self.state.unwinding.clone() {
            None => self.advance_forward(&steps),
            Some(unwinding) => self.advance_back(&steps, unwinding.reason),
        }
    }

    pub(super) fn advance_forward(&mut self, steps: &[Step]) {
        if self.run(steps, When::Forward) && self.process.complete(&self.state) {
            let outcome = self.process.outcome(&self.state);
            self.push(Fact::Ended(Ended { outcome, undone: false }));
        }
    }

    /// Asks for the steps of a stage whose turn it is; whether all of them are done.
    pub(super) fn run(&mut self, steps: &[Step], when: When) -> bool {
        let mut all_done = true;
        for step in steps.iter().filter(|step| step.when == when) {
            match self.state.progress(step.name) {
                Progress::Done(_) => continue,
                Progress::Idle => {
                    let waits = |name: &&str| {
                        find(steps, name).is_some_and(|found| found.when == when) && !self.state.is_done(name)
                    };
                    if !step.after.iter().any(waits) {
                        self.ask(step, Direction::Do);
                    }
                }
                Progress::Asked | Progress::Unknown | Progress::NotDone { .. } => {}
            }
            all_done = false;
        }
        all_done
    }

    /// Asks for the undo of what waits for nothing.
    fn free_at_once(&mut self) {
        let steps = self.process.steps(&self.state);
        for step in steps.iter().filter(|step| step.at_once && step.when == When::Forward) {
            let asked = self.state.side(step.name, Direction::Undo).is_some();
            if self.state.is_done(step.name) && !asked {
                self.ask(step, Direction::Undo);
            }
        }
    }

    pub(super) fn advance_back(&mut self, steps: &[Step], reason: String) {
        let forward = || steps.iter().filter(|step| step.when == When::Forward);
        let ran: Vec<_> = forward().filter(|step| step.undo && self.state.is_done(step.name)).cloned().collect();
        let undone =
            |state: &State, name: &str| state.side(name, Direction::Undo).is_some_and(|side| side.progress.is_done());
        let asked = |state: &State, name: &str| state.side(name, Direction::Undo).is_some();
        self.free_at_once();
        if forward().any(|step| self.state.progress(step.name).is_open()) {
            return;
        }
        for step in ran.iter().rev() {
            let rests_on_it =
                ran.iter().any(|later| depends(steps, later.name, step.name) && !undone(&self.state, later.name));
            if !asked(&self.state, step.name) && !rests_on_it {
                self.ask(step, Direction::Undo);
            }
        }
        if ran.iter().all(|step| undone(&self.state, step.name)) && self.run(steps, When::Closing) {
            self.push(Fact::Ended(Ended { outcome: reason, undone: true }));
        }
    }
}

/// Whether `later` comes after `earlier`, directly or not.
fn depends(steps: &[Step], later: &str, earlier: &str) -> bool {
    find(steps, later)
        .is_some_and(|step| step.after.iter().any(|name| *name == earlier || depends(steps, name, earlier)))
}
