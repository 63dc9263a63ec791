//! The long-running parts of this process: all of them are kept running by one supervisor, and readiness shows how they are.

use std::collections::BTreeMap;

use event_store::supervision::{Ended, Health as State, Pulse, Standing, Supervisor};

use super::Stage;
use crate::service::health::{Health, Part};

impl Stage {
    /// Keeps a part running until this stage stops.
    pub(super) fn keep<F>(
        &self,
        supervisor: &Supervisor,
        name: &'static str,
        part: impl FnMut(Pulse) -> F + Send + 'static,
    ) where
        F: Future<Output = Result<(), Ended>> + Send + 'static,
    {
        let (supervisor, token) = (supervisor.clone(), self.token.clone());
        self.spawn(async move { supervisor.keep(name, &token, part).await });
    }
}

/// Shows how the parts are: those of one kind together, and in the detail whoever of them does not do its work.
pub(super) fn show(supervisor: &Supervisor, health: &Health) {
    let supervisor = supervisor.clone();
    health.add(move || {
        let mut kinds: BTreeMap<String, Vec<Standing>> = BTreeMap::new();
        for standing in supervisor.standings() {
            let kind = standing.name.split('/').next().unwrap_or_default().to_owned();
            kinds.entry(kind).or_default().push(standing);
        }
        kinds.into_iter().map(|(kind, standings)| part(kind, &standings)).collect()
    });
}

fn part(name: String, standings: &[Standing]) -> Part {
    let troubled: Vec<_> = standings.iter().filter_map(trouble).collect();
    let detail = if troubled.is_empty() { "it runs".to_owned() } else { troubled.join("; ") };
    Part { name, ready: troubled.is_empty(), detail }
}

fn trouble(standing: &Standing) -> Option<String> {
    let (what, why) = match &standing.health {
        State::Running => return None,
        State::Waiting(why) => ("waiting", why),
        State::Restarting(why) => ("restarting", why),
        State::GivenUp(why) => ("given up, the process ends", why),
    };
    let which = standing.name.split_once('/').map_or_else(String::new, |(_, which)| format!("{which} "));
    Some(format!("{which}{what}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &str, health: State) -> Standing {
        Standing { name: name.into(), health, restarts: 0 }
    }

    #[test]
    fn the_partitions_of_a_part_are_shown_as_one_with_those_that_do_not_work() {
        let well = part("sagas".into(), &[standing("sagas", State::Running), standing("sagas/3", State::Running)]);
        assert_eq!((well.ready, &*well.detail), (true, "it runs"));
        let full = State::Restarting("the disk is full".into());
        let ill = part("sagas".into(), &[standing("sagas", State::Running), standing("sagas/3", full)]);
        assert_eq!((ill.ready, &*ill.detail), (false, "3 restarting: the disk is full"));
    }
}
